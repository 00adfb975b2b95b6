//! One table as programs of different times and makes declare it.

use loomwork_store::{Old, Result, Table};
use serde::{Deserialize, Serialize};

/// The first program: a name, and nothing to find it by.
pub(super) mod plain {
    use super::{Deserialize, Serialize, Table};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "people", id = "person")]
    pub(crate) struct Person {
        pub(crate) name: String,
    }
}

/// Finds people by name, and the long names apart.
pub(super) mod indexed {
    use super::{Deserialize, Serialize, Table};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "people", id = "person")]
    #[index(by_name(name))]
    #[index(long(name), when = Person::is_long)]
    pub(crate) struct Person {
        pub(crate) name: String,
    }

    impl Person {
        fn is_long(&self) -> bool {
            self.name.len() > 9
        }
    }
}

/// Finds people whatever the case of their names.
pub(super) mod folded {
    use super::{Deserialize, Serialize, Table};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "people", id = "person")]
    #[index(by_name(folded: String = Person::folded), version = 2)]
    pub(crate) struct Person {
        pub(crate) name: String,
    }

    impl Person {
        fn folded(&self) -> String {
            self.name.to_lowercase()
        }
    }
}

/// As [`indexed`], by the other end of the name and without the short ones, under the same version.
pub(super) mod redeclared {
    use super::{Deserialize, Serialize, Table};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "people", id = "person")]
    #[index(by_name(backwards: String = Person::backwards))]
    #[index(long(name), when = Person::is_longer)]
    pub(crate) struct Person {
        pub(crate) name: String,
    }

    impl Person {
        fn backwards(&self) -> String {
            self.name.chars().rev().collect()
        }

        fn is_longer(&self) -> bool {
            self.name.len() > 20
        }
    }
}

/// Lets each name be there once.
pub(super) mod unique {
    use super::{Deserialize, Serialize, Table};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "people", id = "person")]
    #[index(unique by_name(name))]
    pub(crate) struct Person {
        pub(crate) name: String,
    }
}

/// As [`unique`], and the record is one version further.
pub(super) mod unique_and_raised {
    use super::{Deserialize, Old, Result, Serialize, Table};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "people", id = "person", version = 2, upgrade = upgrade)]
    #[index(unique by_name(name))]
    pub(crate) struct Person {
        pub(crate) name: String,
    }

    fn upgrade(_: u32, old: Old<'_>) -> Result<Person> {
        old.decode()
    }
}

/// Version 2: the name has two parts.
pub(super) mod two_names {
    use super::{Deserialize, Old, Result, Serialize, Table, plain};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "people", id = "person", version = 2, upgrade = upgrade)]
    #[index(by_name(last, first))]
    pub(crate) struct Person {
        pub(crate) first: String,
        pub(crate) last: String,
    }

    fn upgrade(_: u32, old: Old<'_>) -> Result<Person> {
        let plain::Person { name } = old.decode()?;
        let (first, last) = name.split_once(' ').unwrap_or(("", &name));
        Ok(Person { first: first.to_owned(), last: last.to_owned() })
    }
}

/// Version 3: the parts are initials and a family name.
pub(super) mod initials {
    use super::{Deserialize, Old, Result, Serialize, Table, two_names};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "people", id = "person", version = 3, upgrade = upgrade)]
    #[index(by_name(family, initial))]
    pub(crate) struct Person {
        pub(crate) initial: Option<String>,
        pub(crate) family: String,
    }

    fn upgrade(from: u32, old: Old<'_>) -> Result<Person> {
        let two_names::Person { first, last } =
            if from == 1 { two_names::Person::upgrade(from, old)? } else { old.decode()? };
        Ok(Person { initial: first.chars().next().map(String::from), family: last })
    }
}

/// Version 3, for a program that can read no older one, and looks for fields that were given up.
pub(super) mod initials_only {
    use super::{Deserialize, Serialize, Table};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "people", id = "person", version = 3)]
    #[index(by_name(family, initial))]
    pub(crate) struct Person {
        pub(crate) initial: Option<String>,
        pub(crate) family: String,
        pub(crate) first: Option<String>,
        pub(crate) name: Option<String>,
    }
}

/// Knows more of a person than [`plain`], under the same version.
pub(super) mod detailed {
    use super::{Deserialize, Serialize, Table};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "people", id = "person")]
    pub(crate) struct Person {
        pub(crate) name: String,
        pub(crate) born: Option<u16>,
        #[serde(default)]
        pub(crate) tags: Vec<String>,
    }
}

/// Would write people in another way.
pub(super) mod compact {
    use super::{Deserialize, Serialize, Table};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "people", id = "person", codec = compact)]
    pub(crate) struct Person {
        pub(crate) name: String,
    }
}

/// People in runs of one name, as their index has them.
pub(crate) mod clustered {
    use super::{Deserialize, Serialize, Table};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "people", id = "person", clustered = by_name)]
    #[index(unique by_name(name))]
    pub(crate) struct Person {
        pub(crate) name: String,
    }
}

/// As [`clustered`], the names read backwards.
pub(crate) mod clustered_backwards {
    use super::{Deserialize, Serialize, Table};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "people", id = "person", clustered = by_name)]
    #[index(unique by_name(backwards: String = Person::backwards), version = 2)]
    pub(crate) struct Person {
        pub(crate) name: String,
    }

    impl Person {
        fn backwards(&self) -> String {
            self.name.chars().rev().collect()
        }
    }
}
