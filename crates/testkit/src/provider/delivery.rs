//! How an answer's bytes travel.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::{Gate, LineEnd};

/// Where the body is cut into writes. Each write is flushed, and is a chunk of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Split {
    /// One write per event; a body that is no stream is one write.
    #[default]
    Events,
    /// A write each so many bytes; 1 cuts at every byte.
    Every(usize),
    /// Writes of these sizes, then one of the rest.
    Sizes(Vec<usize>),
    /// A cut inside of each character that takes more than one byte.
    InsideCharacters,
}

/// How an answer's bytes travel.
#[derive(Clone, Debug, Default)]
pub(super) struct Delivery {
    pub(super) start: Start,
    pub(super) delay: Duration,
    pub(super) pace: Duration,
    pub(super) split: Split,
    pub(super) line_end: LineEnd,
    pub(super) gate: Option<Gate>,
    /// What happens behind so many events.
    pub(super) turns: Vec<(usize, Turn)>,
}

/// What comes before the head of an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Start {
    #[default]
    Head,
    Hang,
    Cut,
}

/// What happens between two events.
#[derive(Clone, Debug)]
pub(super) enum Turn {
    Insert(Bytes),
    Pause(Duration),
    Hang,
    Cut,
    End,
}

/// One thing that the body does.
#[derive(Debug)]
pub(super) enum Step {
    Write(Bytes),
    Pass(Gate),
    Pause(Duration),
    Hang,
    Cut,
}

impl Delivery {
    /// Returns what the body does in turn.
    pub(super) fn plan(&self, frames: Vec<Bytes>) -> VecDeque<Step> {
        let mut plan = Plan { delivery: self, steps: VecDeque::new(), run: Vec::new() };
        let count = frames.len();
        for (sent, frame) in frames.into_iter().map(Some).chain([None]).enumerate() {
            for turn in self.turns_behind(sent, count) {
                if !plan.turn(turn) {
                    return plan.steps;
                }
            }
            if let Some(frame) = frame {
                plan.frame(frame);
            }
        }
        plan.end_run();
        plan.steps
    }

    /// Returns what happens behind so many events; what is meant for later ones happens behind the last.
    fn turns_behind(&self, sent: usize, count: usize) -> impl Iterator<Item = &Turn> {
        self.turns.iter().filter(move |(after, _)| (*after).min(count) == sent).map(|(_, turn)| turn)
    }
}

struct Plan<'a> {
    delivery: &'a Delivery,
    steps: VecDeque<Step>,
    /// Frames that follow each other; they are cut as one text.
    run: Vec<Bytes>,
}

impl Plan<'_> {
    fn frame(&mut self, frame: Bytes) {
        if let Some(gate) = &self.delivery.gate {
            self.end_run();
            self.steps.push_back(Step::Pass(gate.clone()));
        }
        self.run.push(frame);
    }

    /// Returns false where the body ends.
    fn turn(&mut self, turn: &Turn) -> bool {
        if let Turn::Insert(bytes) = turn {
            self.run.push(bytes.clone());
            return true;
        }
        self.end_run();
        match turn {
            Turn::Insert(_) | Turn::End => {}
            Turn::Pause(time) => self.steps.push_back(Step::Pause(*time)),
            Turn::Hang => self.steps.push_back(Step::Hang),
            Turn::Cut => self.steps.push_back(Step::Cut),
        }
        matches!(turn, Turn::Pause(_))
    }

    fn end_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        let writes = match &self.delivery.split {
            Split::Events => run,
            split => split.cut(&Bytes::from(run.concat())),
        };
        for write in writes.into_iter().filter(|write| !write.is_empty()) {
            self.steps.push_back(Step::Write(write));
            if !self.delivery.pace.is_zero() {
                self.steps.push_back(Step::Pause(self.delivery.pace));
            }
        }
    }
}

impl Split {
    fn cut(&self, bytes: &Bytes) -> Vec<Bytes> {
        let mut cuts: Vec<usize> = match self {
            Self::Events => Vec::new(),
            Self::Every(size) => (0..bytes.len()).step_by((*size).max(1)).collect(),
            Self::Sizes(sizes) => sizes
                .iter()
                .scan(0, |at, size| {
                    *at += size;
                    Some(*at)
                })
                .collect(),
            Self::InsideCharacters => insides(bytes),
        };
        cuts.retain(|cut| *cut > 0 && *cut < bytes.len());
        cuts.push(bytes.len());
        let starts = std::iter::once(0).chain(cuts.iter().copied());
        starts.zip(cuts.iter().copied()).map(|(start, end)| bytes.slice(start..end)).collect()
    }
}

/// The places behind the first byte of each longer character.
fn insides(bytes: &[u8]) -> Vec<usize> {
    const FIRST_OF_SEVERAL: std::ops::RangeInclusive<u8> = 0xC0..=0xFF;
    let firsts = bytes.iter().enumerate().filter(|(_, byte)| FIRST_OF_SEVERAL.contains(byte));
    firsts.map(|(at, _)| at + 1).collect()
}
