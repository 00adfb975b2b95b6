//! Vectors as rows.

use loomwork_core::{Fault as _, Kind};
use loomwork_search::{Error, MAX_DIMENSION, Space, vectors};
use loomwork_store::Page;

use super::Bed;
use super::yard::{Note, add, note, open, space};

#[tokio::test]
async fn a_row_has_one_vector_in_each_space() {
    let store = open(&Bed::new()).await;
    let id = add(&store, note("one", "")).await;
    let other = Space::new("another", 2).unwrap();
    let write = move |tx: &mut loomwork_store::Tx| {
        let first = vectors::insert(tx, &space(), id, vec![1.0, 0.0, 0.0])?;
        assert_eq!(vectors::insert(tx, &space(), id, vec![0.0, 1.0, 0.0])?, first);
        vectors::insert(tx, &other, id, vec![0.0, 1.0])?;
        let rows = vectors::page(tx, &space(), Page::first(9))?.rows;
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].owner::<Note>(), Some(id));
        assert_eq!((rows[0].owner_table(), rows[0].model()), ("notes", "by hand"));
        vectors::update(tx, first, vec![0.0, 0.0, 1.0])?;
        assert_eq!(vectors::of(tx, &space(), id)?.unwrap().vector(), [0.0, 0.0, 1.0]);
        assert!(vectors::delete(tx, first)?);
        assert!(!vectors::delete(tx, first)?);
        vectors::delete_for(tx, id)
    };
    assert_eq!(store.mutate(write).await.unwrap(), 1);
}

#[tokio::test]
async fn a_vector_that_does_not_belong_is_refused_by_name() {
    let store = open(&Bed::new()).await;
    let id = add(&store, note("one", "")).await;
    let refused = |vector: Vec<f32>| {
        let write = store.mutate(move |tx| vectors::insert(tx, &space(), id, vector));
        async { write.await.unwrap_err().downcast::<Error>().unwrap() }
    };
    let short = refused(vec![1.0]).await;
    assert_eq!(short.to_string(), "a vector of the model `by hand` has 3 parts here, not 1");
    assert_eq!(short.kind(), Kind::Invalid);
    let infinite = refused(vec![0.0, f32::NAN, 0.0]).await;
    assert_eq!(infinite.to_string(), "part 1 of a vector of the model `by hand` is no finite number");

    store.mutate(move |tx| tx.delete(id)).await.unwrap();
    let orphan = store.mutate(move |tx| vectors::insert(tx, &space(), id, vec![0.0; 3])).await;
    assert_eq!(orphan.unwrap_err().kind(), Kind::NotFound);
    assert!(Space::new("m", 0).is_err() && Space::new("m", MAX_DIMENSION + 1).is_err());
}
