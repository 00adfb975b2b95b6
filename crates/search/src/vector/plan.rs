//! How a segment is searched: by the cost of each way, from what a filter was measured to leave.

/// From how many rows on a segment may have a graph, if nobody says: fewer are scanned as quickly.
pub const GRAPH_ROWS: usize = 20_000;

/// What the ways to search a segment cost, as `cargo xtask bench search` has measured it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    /// How many rows of a scan take the time of one step of a walk through a graph: a step looks at all
    /// neighbours of a row, which lie anywhere.
    pub(crate) rows_a_step: usize,
    /// How much wider a walk is than what it should bring, so that few of the nearest are missing.
    pub(crate) wider: f64,
    /// The share of rows that may be found below which no walk is tried: it would bring mostly others.
    pub(crate) least_share: f64,
}

impl Default for Costs {
    fn default() -> Self {
        Self { rows_a_step: 150, wider: 3.0, least_share: 0.1 }
    }
}

/// How a segment is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// By a look at each row that may be found.
    Scan,
    /// By a walk through the graph that keeps so many rows.
    Walk { width: usize },
}

impl Costs {
    /// Chooses the cheaper way to find the `wanted` nearest of `matches` rows that may be found, among
    /// `rows`.
    pub(super) fn plan(&self, rows: usize, matches: usize, wanted: usize) -> Plan {
        let share = matches as f64 / rows.max(1) as f64;
        let width = (wanted as f64 * self.wider / share.max(f64::MIN_POSITIVE)).ceil() as usize;
        if share < self.least_share || width.saturating_mul(self.rows_a_step) >= matches {
            return Plan::Scan;
        }
        Plan::Walk { width }
    }
}
