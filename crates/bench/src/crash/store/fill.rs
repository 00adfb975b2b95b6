//! A file whose indexes are made in another way than before, killed while they are filled.

use std::path::Path;

use anyhow::{Context as _, Result};
use loomwork_store::Store;
use loomwork_store_sqlite::OpenSqlite as _;

use super::subject::check_integrity;
use crate::crash::tally::Tally;

/// How many rows each table has: some steps of filling, and a part of one.
const ROWS: u64 = 2_700;

/// How many rows one mutation of the preparation writes.
const ROWS_AT_ONCE: u64 = 900;

/// The tables as an older program declares them.
mod older {
    use loomwork_store::Table;
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, Serialize, Deserialize, Table)]
    #[table(name = "items", id = "item")]
    #[index(by_rank(rank))]
    #[index(unique by_name(name))]
    pub(super) struct Item {
        pub(super) rank: u64,
        pub(super) name: String,
    }

    #[derive(Clone, Debug, Serialize, Deserialize, Table)]
    #[table(name = "leaves", id = "leaf", clustered = by_rank)]
    #[index(unique by_rank(rank))]
    pub(super) struct Leaf {
        pub(super) rank: u64,
    }
}

/// The tables as the program declares them that is killed: the ranks are turned round, and there is one
/// more unique index.
mod newer {
    use loomwork_store::Table;
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, Serialize, Deserialize, Table)]
    #[table(name = "items", id = "item")]
    #[index(by_rank(turned: u64 = Item::turned), version = 2)]
    #[index(unique by_name(name))]
    #[index(unique by_rank_and_name(rank, name))]
    pub(super) struct Item {
        pub(super) rank: u64,
        pub(super) name: String,
    }

    impl Item {
        fn turned(&self) -> u64 {
            super::ROWS - self.rank
        }
    }

    #[derive(Clone, Debug, Serialize, Deserialize, Table)]
    #[table(name = "leaves", id = "leaf", clustered = by_rank)]
    #[index(unique by_rank(turned: u64 = Leaf::turned), version = 2)]
    pub(super) struct Leaf {
        pub(super) rank: u64,
    }

    impl Leaf {
        fn turned(&self) -> u64 {
            super::ROWS - self.rank
        }
    }
}

/// Makes the file, as an older program would.
pub(super) async fn prepare(path: &Path) -> Result<()> {
    use loomwork_store::Table as _;
    use older::{Item, Leaf};

    let store = Store::open(path)?.tables([Item::table(), Leaf::table()]).open().await?;
    for first in (0..ROWS).step_by(ROWS_AT_ONCE as usize) {
        store
            .mutate(move |tx| {
                for rank in first..first + ROWS_AT_ONCE {
                    tx.insert(Item { rank, name: name(rank) })?;
                    tx.insert(Leaf { rank })?;
                }
                Ok(())
            })
            .await?;
    }
    store.close().await;
    Ok(())
}

/// Opens the file as the newer program does, which fills what has changed.
pub(super) async fn open(path: &Path) -> Result<Store> {
    use loomwork_store::Table as _;

    let builder = Store::open(path).context("the file cannot be opened")?;
    let tables = [newer::Item::table(), newer::Leaf::table()];
    builder.tables(tables).open().await.context("the store cannot be opened")
}

/// Opens the file once more: whatever the killed process had filled, every index is whole now.
pub(super) async fn check(path: &Path, tally: &mut Tally) -> Result<()> {
    use newer::{Item, Leaf};

    let store = open(path).await?;
    check_integrity(&store, path, tally).await?;
    let (by_rank, by_both, leaves, names) = store
        .query(|tx| {
            let by_rank = tx.scan(Item::by_rank.all())?.into_iter().map(|item| item.rank);
            let by_both = tx.scan(Item::by_rank_and_name.all())?.into_iter().map(|item| item.rank);
            let leaves = tx.scan(Leaf::by_rank.all())?.into_iter().map(|leaf| leaf.rank);
            let names = (0..ROWS).filter_map(|rank| tx.first(Item::by_name.eq(name(rank))).transpose());
            let names = names.map(|item| Ok(item?.rank)).collect::<loomwork_store::Result<Vec<_>>>()?;
            Ok((by_rank.collect::<Vec<_>>(), by_both.collect::<Vec<_>>(), leaves.collect::<Vec<_>>(), names))
        })
        .await?;
    let upwards: Vec<_> = (0..ROWS).collect();
    let downwards: Vec<_> = (0..ROWS).rev().collect();
    tally.same_list("the rows of the index that was made anew", &by_rank, &downwards);
    tally.same_list("the rows of the index that is new", &by_both, &upwards);
    tally.same_list("the rows of the clustered table", &leaves, &downwards);
    tally.same_list("the rows of the index that stayed", &names, &upwards);
    tally.count("fills finished", 1);
    store.close().await;
    Ok(())
}

fn name(rank: u64) -> String {
    format!("item-{rank:05}")
}
