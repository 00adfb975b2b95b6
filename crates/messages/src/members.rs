//! Who takes part in a thread, what they may do there, and up to where they have read.
//!
//! A thread has one owner, who is a member as long as it is theirs. The owner of an anonymous thread has no
//! name: `None` is who a visitor without an account is, so whoever knows the thread's id may do anything
//! there.

use loomwork_core::{Fault, Kind};
use loomwork_store::{Page, Paged, Result, Row, Tx};

use crate::list::last;
use crate::tables::{Member, MemberRole, MessageRow, Position, ThreadId};
use crate::threads::{self, MAX_USER_BYTES, check_text};

/// The most members of a thread: each turn that begins moves the activity of all of them.
pub const MAX_MEMBERS: usize = 256;

/// The most unread messages that are counted.
pub const MAX_UNREAD: usize = 1_000;

/// Why a thread's members stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Somebody who takes no part in the thread.
    #[error("{} is no member of thread {thread}; `members::add` makes them one", Name(user))]
    NotFound {
        /// The thread.
        thread: ThreadId,
        /// Who it is.
        user: Option<String>,
    },
    /// Somebody who is a member already.
    #[error("{user:?} is a member of thread {thread} already; `members::change_role` says what they may do")]
    Already {
        /// The thread.
        thread: ThreadId,
        /// Who it is.
        user: String,
    },
    /// A thread has one owner.
    #[error("thread {thread} has one owner, {}; `members::pass_on` makes somebody else that", Name(owner))]
    OneOwner {
        /// The thread.
        thread: ThreadId,
        /// Whose it is.
        owner: Option<String>,
    },
    /// A thread of [`MAX_MEMBERS`] members.
    #[error("thread {thread} has {MAX_MEMBERS} members, the most that a thread may have")]
    Full {
        /// The thread.
        thread: ThreadId,
    },
}

/// A user, as errors write them.
struct Name<'a>(&'a Option<String>);

impl std::fmt::Display for Name<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(name) => write!(formatter, "{name:?}"),
            None => formatter.write_str("nobody in particular"),
        }
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound { .. } => Kind::NotFound,
            Self::Already { .. } | Self::OneOwner { .. } | Self::Full { .. } => Kind::Invalid,
        }
    }
}

/// Makes somebody a member, who may read, or write too. To them all messages are unread.
///
/// # Errors
/// [`Error::Already`], [`Error::Full`], and [`Error::OneOwner`] for a second owner;
/// [`threads::Error::NotFound`], and what threads refuse as a user's name.
pub fn add(tx: &mut Tx, thread: ThreadId, user: &str, role: MemberRole) -> Result<Row<Member>> {
    check_text("user", Some(user), MAX_USER_BYTES)?;
    let owner = owner(tx, thread)?;
    if role == MemberRole::Owner {
        return Err(Error::OneOwner { thread, owner: owner.record.user }.into());
    }
    if of(tx, thread, Some(user))?.is_some() {
        return Err(Error::Already { thread, user: user.to_owned() }.into());
    }
    if tx.count(Member::by_thread.eq(thread))? >= MAX_MEMBERS {
        return Err(Error::Full { thread }.into());
    }
    tx.insert(Member { user: Some(user.to_owned()), role, read: None, ..owner.record })
}

/// Ends somebody's membership, and says whether there was one.
///
/// # Errors
/// [`Error::OneOwner`] for the owner; [`threads::Error::NotFound`].
pub fn remove(tx: &mut Tx, thread: ThreadId, user: &str) -> Result<bool> {
    threads::require(tx, thread)?;
    let Some(member) = of(tx, thread, Some(user))? else { return Ok(false) };
    if member.role == MemberRole::Owner {
        return Err(Error::OneOwner { thread, owner: member.record.user }.into());
    }
    Ok(tx.delete(member.id)?.is_some())
}

/// Says what a member may do: read, or write too.
///
/// # Errors
/// [`Error::NotFound`], and [`Error::OneOwner`] where the owner is or would be another one;
/// [`threads::Error::NotFound`].
pub fn change_role(tx: &mut Tx, thread: ThreadId, user: &str, role: MemberRole) -> Result<Row<Member>> {
    let owner = owner(tx, thread)?;
    let member = require(tx, thread, Some(user))?;
    if member.role == role {
        return Ok(member);
    }
    if member.role == MemberRole::Owner || role == MemberRole::Owner {
        return Err(Error::OneOwner { thread, owner: owner.record.user }.into());
    }
    tx.update(member.id, |member| member.role = role)
}

/// Makes a thread somebody else's, or nobody's. Who had it goes on as a writer; where it was anonymous, its
/// nameless owner becomes the new one, and has read what that one has.
///
/// Messages stay those of who was the owner when they were saved.
///
/// # Errors
/// [`threads::Error::NotFound`], and what threads refuse as a user's name; [`Error::Full`] when the new
/// owner would be one member too many.
pub fn pass_on<'a>(tx: &mut Tx, thread: ThreadId, to: impl Into<Option<&'a str>>) -> Result<Row<Member>> {
    let to = to.into();
    check_text("user", to, MAX_USER_BYTES)?;
    let before = owner(tx, thread)?;
    if before.user.as_deref() == to {
        return Ok(before);
    }
    let (user, now) = (to.map(str::to_owned), tx.now());
    tx.update(thread, |thread| (thread.user, thread.updated) = (user.clone(), now))?;
    let member = of(tx, thread, to)?;
    if before.user.is_some() {
        tx.update(before.id, |member| member.role = MemberRole::Writer)?;
    } else if member.is_some() {
        tx.delete(before.id)?;
    } else {
        return tx.update(before.id, |member| member.user = user);
    }
    if let Some(member) = member {
        return tx.update(member.id, |member| member.role = MemberRole::Owner);
    }
    if tx.count(Member::by_thread.eq(thread))? >= MAX_MEMBERS {
        return Err(Error::Full { thread }.into());
    }
    tx.insert(Member { user, role: MemberRole::Owner, read: None, ..before.record })
}

/// Returns a page of the members of a thread, by their names.
///
/// # Errors
/// [`threads::Error::NotFound`]; when the store cannot be read, or the page belongs to another query.
pub fn list(tx: &Tx, thread: ThreadId, page: Page) -> Result<Paged<Member>> {
    threads::require(tx, thread)?;
    tx.page(Member::by_thread.eq(thread), page)
}

/// Returns what somebody may do in a thread; `None` for those who are no members, and where there is no
/// thread.
///
/// # Errors
/// When the store cannot be read.
pub fn role_of<'a>(
    tx: &Tx,
    thread: ThreadId,
    user: impl Into<Option<&'a str>>,
) -> Result<Option<MemberRole>> {
    if threads::get(tx, thread)?.is_none() {
        return Ok(None);
    }
    Ok(of(tx, thread, user.into())?.map(|member| member.role))
}

/// Returns whether somebody may do in a thread what a role may. An owner may do what a writer may, and a
/// writer what a reader may; where there is no thread, nobody may anything.
///
/// # Errors
/// When the store cannot be read.
pub fn may<'a>(
    tx: &Tx,
    thread: ThreadId,
    user: impl Into<Option<&'a str>>,
    role: MemberRole,
) -> Result<bool> {
    Ok(role_of(tx, thread, user)?.is_some_and(|has| has >= role))
}

/// Says that a member has read all messages up to a position, the last message's at most. It never goes
/// back.
///
/// # Errors
/// [`Error::NotFound`] and [`threads::Error::NotFound`].
pub fn mark_read<'a>(
    tx: &mut Tx,
    thread: ThreadId,
    user: impl Into<Option<&'a str>>,
    position: Position,
) -> Result<Row<Member>> {
    threads::require(tx, thread)?;
    let member = require(tx, thread, user.into())?;
    let last = last(tx, thread)?.map(|last| last.position().min(position));
    let read = member.read.max(last);
    tx.update(member.id, |member| member.read = read)
}

/// What a member has not read yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// How many messages; [`MAX_UNREAD`] stands for as many or more.
    pub count: usize,
    /// Where the first of them is.
    pub first: Option<Position>,
}

/// Returns what a member has not read yet, of all that is complete and said: not what tools did, and not
/// what failed or is still being made.
///
/// # Errors
/// [`Error::NotFound`] and [`threads::Error::NotFound`].
pub fn unread<'a>(tx: &Tx, thread: ThreadId, user: impl Into<Option<&'a str>>) -> Result<Unread> {
    threads::require(tx, thread)?;
    let read = require(tx, thread, user.into())?.read;
    let said = MessageRow::visible.eq(thread);
    let unread = match read {
        Some(read) => said.gt(read),
        None => said.ge(Position::FIRST),
    };
    let first = tx.first(unread.clone())?.map(|first| first.position());
    Ok(Unread { count: tx.count(unread.take(MAX_UNREAD))?, first })
}

/// Returns the member who owns a thread.
fn owner(tx: &Tx, thread: ThreadId) -> Result<Row<Member>> {
    let user = threads::require(tx, thread)?.record.user;
    require(tx, thread, user.as_deref())
}

fn require(tx: &Tx, thread: ThreadId, user: Option<&str>) -> Result<Row<Member>> {
    let missing = || Error::NotFound { thread, user: user.map(str::to_owned) };
    Ok(of(tx, thread, user)?.ok_or_else(missing)?)
}

fn of(tx: &Tx, thread: ThreadId, user: Option<&str>) -> Result<Option<Row<Member>>> {
    tx.first(Member::by_thread.eq(thread).eq(user.map(str::to_owned)))
}
