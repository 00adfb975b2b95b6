use loomwork_store::{Old, Result, Table};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "jobs", id = "job", version = 2, upgrade = upgrade)]
#[index(ready(due), when = Job::priority)]
#[index(by_priority(priority: i64 = Job::priority))]
#[index(by_owner(owner: String = Job::tenant))]
struct Job {
    due: i64,
}

impl Job {
    fn priority(&self) -> u8 {
        0
    }
}

fn upgrade(old: Old<'_>) -> Result<Job> {
    old.decode()
}

fn main() {}
