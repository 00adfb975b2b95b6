//! A pool uses what another one leaves idle.

use loomwork_workpool::{Job, PoolOptions, StartError, backlog, enqueue_all, pause, resume};

use super::yard::{Gate, Yard};

const OWN: Job<u32, ()> = Job::new("own work").in_pool("batch");
const LENT: Job<u32, ()> = Job::new("lent work").in_pool("chat");

fn batch(borrows_from: Option<&'static str>) -> PoolOptions {
    PoolOptions { parallel: Some(2), borrows_from, ..PoolOptions::default() }
}

fn pool(yard: &Yard, own: &Gate, lent: &Gate) -> loomwork_workpool::Builder {
    let (own, lent) = (own.clone(), lent.clone());
    let behind = |gate: Gate| {
        move |_, _| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                Ok(())
            }
        }
    };
    let pool = yard.pool().pool("chat", 4).pool("batch", batch(Some("chat")));
    pool.on(OWN, behind(own)).on(LENT, behind(lent))
}

/// Waits until so many jobs of both pools run, and sees that it stays so.
async fn runs(yard: &Yard, batch: usize, chat: usize) {
    let running =
        |tx: &loomwork_store::Tx| Ok((backlog(tx, "batch")?.running, backlog(tx, "chat")?.running));
    yard.until(running, move |now| *now == (batch, chat)).await;
    yard.rests().await;
    assert_eq!(yard.read(running).await, (batch, chat));
}

#[tokio::test]
async fn idle_slots_are_lent_and_come_back_as_their_jobs_end() {
    let (yard, own, lent) = (Yard::open().await, Gate::closed(), Gate::closed());
    let _pool = pool(&yard, &own, &lent).start().await.unwrap();
    yard.commit(|tx| enqueue_all(tx, &LENT, 0..1, ())).await;
    runs(&yard, 0, 1).await;
    yard.commit(|tx| enqueue_all(tx, &OWN, 0..20, ())).await;
    runs(&yard, 5, 1).await;
    yard.commit(|tx| enqueue_all(tx, &LENT, 0..20, ())).await;
    runs(&yard, 5, 1).await;
    yard.commit(|tx| pause(tx, "batch")).await;
    own.open_for(3);
    runs(&yard, 2, 4).await;
    yard.commit(|tx| resume(tx, "batch")).await;
    runs(&yard, 2, 4).await;
}

#[tokio::test]
async fn a_paused_pool_lends_nothing() {
    let (yard, own, lent) = (Yard::open().await, Gate::closed(), Gate::closed());
    let _pool = pool(&yard, &own, &lent).start().await.unwrap();
    yard.commit(|tx| {
        pause(tx, "chat")?;
        enqueue_all(tx, &OWN, 0..20, ())
    })
    .await;
    runs(&yard, 2, 0).await;
    yard.commit(|tx| resume(tx, "chat")).await;
    runs(&yard, 6, 0).await;
}

#[tokio::test]
async fn a_loan_that_makes_no_sense_is_refused() {
    let yard = Yard::open().await;
    let borrowing = |lender| yard.pool().pool("batch", batch(Some(lender)));
    let without_limit = PoolOptions { parallel: None, ..PoolOptions::default() };
    let chained = PoolOptions { borrows_from: Some("far"), ..PoolOptions::default() };
    for builder in [
        borrowing("nowhere"),
        borrowing("batch"),
        borrowing("endless").pool("endless", without_limit),
        borrowing("near").pool("near", chained).pool("far", ()),
    ] {
        let error = builder.start().await.unwrap_err();
        assert!(matches!(error.downcast(), Ok(StartError::BadLender { pool: "batch", .. })));
    }
}
