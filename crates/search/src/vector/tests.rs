use std::collections::BTreeMap;

use loomwork_core::{Random, RawId};
use loomwork_store::engine::Seq;

use super::codes::normalise;
use super::{VectorIndex, VectorOptions, VectorPut, kernel};
use crate::doc::Scored;
use crate::index::Schema;
use crate::place::Place;
use crate::{Filter, Value};

const DIMENSION: usize = 24;

fn schema() -> Schema {
    let fields = ["owner", "stars", "tags"].map(str::to_owned).to_vec();
    Schema { name: "notes".into(), table: "notes", version: 1, texts: Vec::new(), fields, embeds: true }
}

/// What the index ought to hold, and the plain way to search it.
#[derive(Default)]
struct Model {
    rows: BTreeMap<RawId, (Vec<f32>, Vec<Vec<Value>>)>,
}

impl Model {
    fn find(&self, vector: &[f32], filter: &Filter, limit: usize) -> Vec<Scored> {
        let mut query = vector.to_vec();
        normalise(&mut query);
        let met = self.rows.iter().filter(|(_, (_, values))| filter.matches(&schema(), values));
        let mut found: Vec<_> = met
            .map(|(id, (vector, _))| {
                let mut vector = vector.clone();
                normalise(&mut vector);
                Scored { id: *id, score: kernel::product(&query, &vector).clamp(-1.0, 1.0) }
            })
            .collect();
        found.sort_by(|one, two| two.score.total_cmp(&one.score).then(two.id.cmp(&one.id)));
        found.truncate(limit);
        found
    }
}

fn id(number: u64) -> RawId {
    RawId::from_bytes(u128::from(number).to_be_bytes())
}

fn vector(random: &Random) -> Vec<f32> {
    (0..DIMENSION).map(|_| (random.unit() + random.unit() + random.unit() - 1.5) as f32).collect()
}

fn values(random: &Random) -> Vec<Vec<Value>> {
    let tags = (0..random.below(3))
        .map(|_| Value::from(["red", "green", "blue"][random.below(3) as usize]))
        .collect();
    let stars = if random.below(5) == 0 { vec![] } else { vec![Value::Int(random.below(10) as i64)] };
    vec![vec![Value::Text(format!("user {}", random.below(20)))], stars, tags]
}

fn filter(random: &Random, depth: u32) -> Filter {
    let leaf = |random: &Random| match random.below(7) {
        0 => Filter::eq("owner", format!("user {}", random.below(22))),
        1 => Filter::at_least("stars", random.below(10) as i64),
        2 => Filter::at_most("stars", random.unit() * 10.0),
        3 => Filter::between("stars", random.below(5) as i64, 5.5),
        4 => Filter::one_of("tags", ["red", "blue"]),
        5 => Filter::has("stars"),
        _ => Filter::eq("tags", "green"),
    };
    if depth == 0 {
        return leaf(random);
    }
    match random.below(5) {
        0 => Filter::All((0..random.below(4)).map(|_| filter(random, depth - 1)).collect()),
        1 => Filter::Any((0..random.below(4)).map(|_| filter(random, depth - 1)).collect()),
        2 => !filter(random, depth - 1),
        3 => Filter::Everything,
        _ => leaf(random),
    }
}

fn open(place: &Place) -> (VectorIndex, Option<Seq>) {
    VectorIndex::open(place, &schema(), "model", DIMENSION, id(77)).expect("it opens")
}

fn check(index: &VectorIndex, model: &Model, random: &Random) {
    assert_eq!(index.stats().vectors, model.rows.len());
    for _ in 0..10 {
        let (query, filter) = (vector(random), filter(random, 3));
        let limit = 1 + random.below(15) as usize;
        let wanted = model.find(&query, &filter, limit);
        let options = VectorOptions { limit, exact: true, threshold: None };
        assert_eq!(index.find(&query, &filter, options).expect("it is found"), wanted, "{filter:?}");
        let about =
            index.find(&query, &filter, VectorOptions { exact: false, ..options }).expect("it is found");
        assert_eq!(about.len(), wanted.len(), "as many as there are: {filter:?}");
    }
}

#[test]
fn whatever_happened_the_nearest_are_those_of_a_plain_search() {
    for seed in 0..8 {
        let random = Random::seeded(seed);
        let folder = tempfile::tempdir().expect("a folder");
        let place = if seed % 4 == 0 { Place::Memory } else { Place::Folder(folder.path().to_owned()) };
        let (mut index, mut model, mut seq) = (open(&place).0, Model::default(), 0);
        let mut committed = BTreeMap::new();
        for step in 0..300 {
            seq += 1;
            match random.below(100) {
                0..60 => {
                    let puts: Vec<_> = (0..1 + random.below(8))
                        .map(|_| VectorPut {
                            id: id(random.below(400)),
                            vector: vector(&random),
                            values: values(&random),
                        })
                        .collect();
                    for put in &puts {
                        model.rows.insert(put.id, (put.vector.clone(), put.values.clone()));
                    }
                    index.put(Seq(seq), puts, &[]).expect("it is put");
                }
                60..75 => {
                    let gone = id(random.below(400));
                    model.rows.remove(&gone);
                    index.put(Seq(seq), Vec::new(), &[gone]).expect("it is deleted");
                }
                75..85 => {
                    let (changed, values) = (id(random.below(400)), values(&random));
                    index.set_values(Seq(seq), changed, &values).expect("it is changed");
                    if let Some(row) = model.rows.get_mut(&changed) {
                        row.1 = values;
                    }
                }
                85..97 => {
                    let applied = index.commit().expect("it is committed");
                    assert_eq!(applied, index.applied());
                    committed = model.rows.clone();
                }
                _ if place != Place::Memory => {
                    // What was not committed is gone, as after a crash; the feed would bring it again.
                    drop(index);
                    let (again, applied) = open(&place);
                    index = again;
                    model.rows = applied.map_or_else(BTreeMap::new, |_| committed.clone());
                }
                _ => {}
            }
            if step % 20 == 0 {
                check(&index, &model, &random);
            }
        }
        check(&index, &model, &random);
    }
}

#[test]
fn another_model_table_or_store_begins_with_an_empty_index() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::Folder(folder.path().to_owned());
    let random = Random::seeded(1);
    let fill = || {
        let (index, _) = open(&place);
        let put = VectorPut { id: id(1), vector: vector(&random), values: values(&random) };
        index.put(Seq(5), vec![put], &[]).expect("it is put");
        assert_eq!(index.commit().expect("it is committed"), Seq(5));
    };
    fill();
    assert_eq!(open(&place).1, Some(Seq(5)));
    assert!(VectorIndex::open(&place, &schema(), "other", DIMENSION, id(77)).expect("it opens").1.is_none());
    assert!(open(&place).1.is_none(), "the files of the former are gone");
    fill();
    assert!(VectorIndex::open(&place, &schema(), "model", DIMENSION, id(78)).expect("it opens").1.is_none());
    fill();
    for entry in std::fs::read_dir(folder.path()).expect("the folder") {
        let path = entry.expect("a file").path();
        if path.extension().is_some_and(|extension| extension == "segment") {
            let bytes = std::fs::read(&path).expect("it is read");
            std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("it is written");
        }
    }
    assert!(open(&place).1.is_none(), "half a segment is none");
}

#[test]
fn vectors_that_are_none_are_refused_by_name() {
    let (index, _) = open(&Place::Memory);
    let short =
        index.find(&[1.0], &Filter::Everything, VectorOptions { limit: 1, ..VectorOptions::default() });
    let text = short.expect_err("it is too short").to_string();
    assert_eq!(text, "a vector of the model `model` has 24 parts here, not 1");
    let mut vector = vec![0.5; DIMENSION];
    vector[3] = f32::NAN;
    let put = VectorPut { id: id(1), vector, values: vec![Vec::new(); 3] };
    let text = index.put(Seq(1), vec![put], &[]).expect_err("it is no number").to_string();
    assert_eq!(text, "part 3 of a vector of the model `model` is no finite number");
}

#[test]
fn many_small_commits_leave_few_segments() {
    let (folder, random) = (tempfile::tempdir().expect("a folder"), Random::seeded(3));
    let (index, _) = open(&Place::Folder(folder.path().to_owned()));
    for seq in 1..100 {
        let put = VectorPut { id: id(seq), vector: vector(&random), values: values(&random) };
        index.put(Seq(seq), vec![put], &[]).expect("it is put");
        index.commit().expect("it is committed");
    }
    let stats = index.stats();
    assert!(stats.segments <= super::index::MAX_SEGMENTS + 1, "{stats:?}");
    assert_eq!((stats.vectors, stats.dead), (99, 0));
    let files = std::fs::read_dir(folder.path()).expect("the folder").count();
    assert!(files <= 2 * stats.segments + 1, "{files} files");
}
