//! Searches by vectors and by both.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use loomwork_core::{Clock, Stopwatch};
use loomwork_search::{Filter, Query, Search};
use loomwork_store::{Id, Store};
use tokio::runtime::Runtime;

use super::by_hand::{Graph, scan};
use super::corpus::{Cloud, Language, Message, messages, open, space, write};
use super::{INDEX, TOP, folder, ids, named, p50, single, time};
use crate::measure::{ROUNDS, Row, Target, median};

const QUERIES: usize = 100;

/// How many messages a partition has.
const ROOM: usize = 10_000;

/// The groups: a partition, 1 % of all, and those of a user.
fn groups(rows: usize) -> [(&'static str, u32); 3] {
    [("room", (rows / ROOM) as u32), ("percent", 100), ("user", 400)]
}

/// What a user of hnsw_rs would ask for.
const EFFORT: usize = 64;

/// How many messages are appended and searched for.
const APPENDS: usize = 200;

struct World<'a> {
    runtime: &'a Runtime,
    store: Store,
    search: Search,
    rows: Arc<Vec<Vec<f32>>>,
    ids: Arc<Vec<Id<Message>>>,
    queries: Vec<Vec<f32>>,
    texts: Vec<String>,
}

pub(super) fn measure(runtime: &Runtime, count: usize) -> Result<Vec<Row>> {
    let (cloud, language, folder) = (Cloud::new(1), Language::new(2), folder()?);
    let rows = Arc::new((0..count).map(|_| cloud.vector()).collect::<Vec<_>>());
    let texts: Vec<String> = (0..count).map(|_| language.text()).collect();
    let store = runtime.block_on(open())?;
    let ids = Arc::new(runtime.block_on(write(&store, &texts, &rows))?);
    let (loading, search) = load(runtime, &store, &rows, folder.path())?;
    let queries = (0..QUERIES).map(|_| cloud.vector()).collect();
    let texts = (0..QUERIES).map(|_| language.query()).collect();
    let world = World { runtime, store, search, rows, ids, queries, texts };

    let mut all = vec![loading];
    all.push(world.partition()?);
    let by_scan = world.whole_by_scan()?;
    let (build, graph) = world.build_graphs()?;
    all.extend(world.whole(&graph)?);
    all.extend([by_scan, world.percent()?]);
    all.extend(build);
    all.extend(world.hybrid()?);
    all.extend(world.appends()?);
    let bytes: usize = world.search.stats().iter().map(|stats| stats.bytes).sum();
    let held = bytes as f64 / 1e6;
    all.push(single(
        named("memory of {} x 384 with texts, filters and graphs", count),
        "MB",
        held,
        Target::None,
    ));
    runtime.block_on(world.search.shutdown(Duration::from_secs(20)))?;
    all.push(world.opening(folder.path())?);
    Ok(all)
}

async fn start(store: &Store, folder: &std::path::Path, rows: usize) -> Result<Search> {
    let index = messages(&groups(rows)).vectors(space()?);
    Ok(Search::builder(store).folder(folder).index(index).start().await?)
}

/// Fills the index from the rows. By hand, vectors are read from the same rows and kept as they are, and
/// texts go into tantivy.
fn load(
    runtime: &Runtime,
    store: &Store,
    rows: &[Vec<f32>],
    folder: &std::path::Path,
) -> Result<(Row, Search)> {
    let watch = Stopwatch::start();
    let search = runtime.block_on(start(store, &folder.join("index"), rows.len()))?;
    runtime.block_on(search.filled())?;
    runtime.block_on(search.commit())?;
    let ours = watch.elapsed().as_secs_f64();
    let watch = Stopwatch::start();
    let path = folder.join("hand");
    std::fs::create_dir_all(&path)?;
    let texts = runtime.block_on(store.query(|tx| {
        let rows = tx.scan(<Message as loomwork_store::Table>::all())?;
        Ok(rows.into_iter().map(|row| row.record.text).collect::<Vec<_>>())
    }))?;
    super::by_hand::Texts::write(&path, &texts, &groups(rows.len()))?;
    let of = space()?;
    let loaded = runtime.block_on(store.query(move |tx| {
        let mut count = 0;
        let mut page = loomwork_store::Page::first(1_000);
        loop {
            let some = loomwork_search::vectors::page(tx, &of, page)?;
            count += some.rows.len();
            match some.next {
                Some(next) => page = loomwork_store::Page::after(next, 1_000),
                None => return Ok(count),
            }
        }
    }))?;
    ensure!(loaded == rows.len(), "each row has a vector");
    let by_hand = watch.elapsed().as_secs_f64();
    let row = Row {
        name: named(
            "filling an index of {} texts and vectors; against raw tantivy and reading the vectors",
            rows.len(),
        ),
        unit: "s",
        ours: vec![ours],
        baseline: vec![by_hand],
        target: Target::RatioAtMost(1.3),
    };
    Ok((row, search))
}

impl World<'_> {
    /// Runs the queries by hand and reads the rows that they find; the median in milliseconds.
    fn by_hand(&self, find: impl Fn(usize, &[f32]) -> Vec<usize> + Send + Sync + 'static) -> Result<f64> {
        let (find, ids) = (Arc::new(find), self.ids.clone());
        let times = self.queries.iter().enumerate().map(|(number, query)| {
            let (query, ids, find) = (query.clone(), ids.clone(), find.clone());
            time(|| {
                let read = self.store.query(move |tx| {
                    find(number, &query).iter().map(|row| tx.get(ids[*row])).collect::<Result<Vec<_>, _>>()
                });
                Ok(self.runtime.block_on(read)?)
            })
        });
        Ok(median(&times.collect::<Result<Vec<_>>>()?))
    }

    fn ours(&self, filter: impl Fn(usize) -> Filter) -> Result<f64> {
        let queries = self.queries.iter().enumerate().map(|(number, vector)| Query {
            filter: filter(number),
            limit: TOP,
            ..Query::vector(vector.clone())
        });
        p50(self.runtime, &self.search, queries)
    }

    /// Which part of the nearest a search finds, of the rows that meet a filter.
    fn recall(&self, filter: impl Fn(usize) -> Filter, among: impl Fn(usize, usize) -> bool) -> Result<f64> {
        let mut found = 0;
        for (number, vector) in self.queries.iter().enumerate() {
            let query = Query { filter: filter(number), limit: TOP, ..Query::vector(vector.clone()) };
            let ours = ids(self.runtime, &self.search, query)?;
            let right = scan(&self.rows, (0..self.rows.len()).filter(|row| among(number, *row)), vector);
            found += right.iter().filter(|row| ours.contains(&self.ids[**row])).count();
        }
        Ok(found as f64 / (QUERIES * TOP) as f64)
    }

    /// One of four partitions, in which each vector is looked at.
    fn partition(&self) -> Result<Row> {
        let (rows, rooms) = (self.rows.clone(), self.rows.len() / ROOM);
        let room = |number: usize| Filter::eq("room", Message::group(number as u32, rooms as u32));
        let row = Row::measured(
            "vector top 10, partition of 10,000 x 384; against an exact SIMD scan of it by hand",
            "ms",
            Target::RatioAtMost(1.3),
            || self.ours(room),
            || {
                let rows = rows.clone();
                self.by_hand(move |number, query| {
                    scan(&rows, (number % rooms..rows.len()).step_by(rooms), query)
                })
            },
        )?;
        let recall = self.recall(room, |number, row| row % rooms == number % rooms)?;
        ensure!(recall > 0.999, "a scan misses nothing; its recall is {recall}");
        Ok(row)
    }

    /// Before there is a graph.
    fn whole_by_scan(&self) -> Result<Row> {
        let ours = (0..ROUNDS).map(|_| self.ours(|_| Filter::Everything)).collect::<Result<_>>()?;
        let name = named("vector top 10, {} x 384, no filter, by a scan of the codes", self.rows.len());
        Ok(Row { name, unit: "ms", ours, baseline: Vec::new(), target: Target::None })
    }

    /// Waits until the graphs are there that searches want, and builds one by hand meanwhile.
    fn build_graphs(&self) -> Result<(Vec<Row>, Graph<'static>)> {
        self.ours(|_| Filter::Everything)?;
        let watch = Stopwatch::start();
        let rows = self.rows.clone();
        let by_hand = std::thread::spawn(move || {
            let watch = Stopwatch::start();
            let graph = Graph::build(&rows);
            (graph, watch.elapsed().as_secs_f64())
        });
        let (mut before, mut took) = (0, 0.0);
        let mut idle = 0;
        // A segment below the least size has none; when nothing has come for a while, all are there.
        while idle < 300 || before == 0 {
            self.runtime.block_on(Clock::system().sleep(Duration::from_millis(100)));
            let now = self.search.stats().iter().map(|stats| stats.in_graphs).sum();
            idle = if now == before { idle + 1 } else { 0 };
            if now != before {
                (before, took) = (now, watch.elapsed().as_secs_f64());
            }
            if now == self.rows.len() {
                break;
            }
        }
        let (graph, alone) = by_hand.join().map_err(|_| anyhow::anyhow!("hnsw_rs panicked"))?;
        let rows = vec![
            Row {
                name: named(
                    "building the graphs of {} x 384, one thread; against hnsw_rs over floats",
                    self.rows.len(),
                ),
                unit: "s",
                ours: vec![took],
                baseline: vec![alone],
                target: Target::None,
            },
            single("vectors that have a graph then", "", before as f64, Target::None),
        ];
        Ok((rows, graph))
    }

    fn whole(&self, graph: &Graph<'static>) -> Result<Vec<Row>> {
        // Not shared with a thread of the store, which is why these reads are outside of it.
        let by_hand = || {
            let times = self.queries.iter().map(|query| {
                let ids = self.ids.clone();
                time(|| {
                    let found = graph.find(query, EFFORT);
                    let read = self.store.query(move |tx| {
                        found.iter().map(|row| tx.get(ids[*row])).collect::<Result<Vec<_>, _>>()
                    });
                    Ok(self.runtime.block_on(read)?)
                })
            });
            Ok(median(&times.collect::<Result<Vec<_>>>()?))
        };
        let row = Row::measured(
            named(
                "vector top 10, {} x 384, no filter; against raw hnsw_rs, ef 64, and reading the rows",
                self.rows.len(),
            ),
            "ms",
            Target::RatioAtMost(1.2),
            || self.ours(|_| Filter::Everything),
            by_hand,
        )?;
        let recall = self.recall(|_| Filter::Everything, |_, _| true)?;
        let of_hand: usize = self
            .queries
            .iter()
            .map(|query| {
                let right = scan(&self.rows, 0..self.rows.len(), query);
                let found = graph.find(query, EFFORT);
                right.iter().filter(|row| found.contains(row)).count()
            })
            .sum();
        let recalls = Row {
            name: "recall of that",
            unit: "",
            ours: vec![recall],
            baseline: vec![of_hand as f64 / (QUERIES * TOP) as f64],
            target: Target::ValueAtLeast(0.99),
        };
        Ok(vec![row, recalls])
    }

    fn percent(&self) -> Result<Row> {
        let percent = |number: usize| Filter::eq("percent", Message::group(number as u32, 100));
        let rows = self.rows.clone();
        let row = Row::measured(
            named(
                "vector top 10, {} x 384, 1 % filter; against an exact scan over those ids",
                self.rows.len(),
            ),
            "ms",
            Target::ValueAtMost(0.2),
            || self.ours(percent),
            || {
                let rows = rows.clone();
                self.by_hand(move |number, query| scan(&rows, (number % 100..rows.len()).step_by(100), query))
            },
        )?;
        let recall = self.recall(percent, |number, row| row % 100 == number % 100)?;
        ensure!(recall > 0.999, "a scan misses nothing; its recall is {recall}");
        Ok(row)
    }

    /// Both legs at once against one after the other.
    fn hybrid(&self) -> Result<Vec<Row>> {
        let user = |number: usize| Filter::eq("user", Message::group(number as u32, 400));
        let run = |make: &dyn Fn(usize) -> Query| {
            let times = (0..QUERIES).map(|number| {
                let query = Query { filter: user(number), limit: TOP, ..make(number) };
                time(|| Ok(self.runtime.block_on(self.search.find::<Message>(INDEX, query))?))
            });
            Ok::<_, anyhow::Error>(median(&times.collect::<Result<Vec<_>>>()?))
        };
        let text = |number: usize| Query::text(&*self.texts[number]);
        let vector = |number: usize| Query::vector(self.queries[number].clone());
        let both = |number: usize| Query::hybrid(&*self.texts[number], self.queries[number].clone());
        let row = Row::measured(
            named("hybrid top 10, {} messages, user filter; against the sum of both legs", self.rows.len()),
            "ms",
            Target::RatioAtMost(1.2),
            || run(&both),
            || Ok(run(&text)? + run(&vector)?),
        )?;
        let absolute = Row {
            name: "the same, absolute",
            unit: "ms",
            ours: row.ours.clone(),
            baseline: Vec::new(),
            target: Target::ValueAtMost(1.0),
        };
        Ok(vec![row, absolute])
    }

    /// Each message is found by a word that it alone has, and by its vector, as soon as it is written.
    fn appends(&self) -> Result<Vec<Row>> {
        let (cloud, of) = (Cloud::new(9), space()?);
        let (mut found, mut times) = (0, Vec::new());
        for number in 0..APPENDS {
            let (word, vector, of) = (format!("fresh{number}x"), cloud.vector(), of.clone());
            let message = Message { text: word.clone(), number: (self.rows.len() + number) as u32 };
            let (written, query) = (vector.clone(), Query::hybrid(format!("{word} "), vector));
            let write = self.store.mutate(move |tx| {
                let id = tx.insert(message)?.id;
                loomwork_search::vectors::insert(tx, &of, id, written)?;
                Ok(id)
            });
            let watch = Stopwatch::start();
            let id = self.runtime.block_on(write.into_future())?;
            let hits = self.runtime.block_on(self.search.find::<Message>(INDEX, query))?.hits;
            times.push(watch.elapsed().as_secs_f64() * 1e3);
            let is_first = hits.first().is_some_and(|hit| {
                hit.row.id == id && hit.text.is_some() && hit.vector.is_some_and(|place| place.rank == 0)
            });
            found += usize::from(is_first);
        }
        let share = found as f64 / APPENDS as f64;
        Ok(vec![
            single(
                "appended messages that the next search finds, by both",
                "",
                share,
                Target::ValueAtLeast(1.0),
            ),
            single("append and search together, p50", "ms", median(&times), Target::None),
        ])
    }

    fn opening(&self, folder: &std::path::Path) -> Result<Row> {
        let mut times = Vec::new();
        for _ in 0..3 {
            let watch = Stopwatch::start();
            let search = self.runtime.block_on(start(&self.store, &folder.join("index"), self.rows.len()))?;
            let query = Query::vector(self.queries[0].clone());
            self.runtime.block_on(search.find::<Message>(INDEX, query))?;
            times.push(watch.elapsed().as_secs_f64() * 1e3);
            self.runtime.block_on(search.shutdown(Duration::from_secs(20)))?;
        }
        let name =
            named("opening an index of {} x 384 with its graphs, to the first answer", self.rows.len());
        Ok(Row { name, unit: "ms", ours: times, baseline: Vec::new(), target: Target::None })
    }
}
