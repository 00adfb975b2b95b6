//! What happens to the world from outside: processes die, come back late or are of another version, and people
//! cancel, restart and forget runs.

use super::process::Process;
use super::world::{Answer, World};
use crate::cancel::cancel;
use crate::claim::{Put, park, release};
use crate::clean::clean_up;
use crate::host::bury;
use crate::restart::{RestartFrom, journal, restart};
use crate::simulation::code::Plan;
use crate::tables::{State, WorkflowId};

impl World {
    pub(super) async fn park(&mut self) {
        let Some((at, number)) = self.pick() else { return };
        self.go_on(at, number);
        let run = &self.processes[at].runs[number];
        if !run.under_way.is_empty() {
            return;
        }
        let (hold, known) = (run.hold, run.machine.known().position);
        match self.commit(move |tx| park(tx, hold, known)).await {
            Put::Away | Put::Lost => {
                self.note(format!("process {at} puts run {number} away"));
                self.processes[at].runs.remove(number);
            }
            Put::News(arrived) => {
                let run = &mut self.processes[at].runs[number];
                arrived.into_iter().for_each(|arrived| run.machine.arrive(arrived));
            }
        }
    }

    /// The store refuses what a run does, which is given back or blocked.
    pub(super) async fn refuse(&mut self) {
        let Some((at, number)) = self.pick() else { return };
        self.note(format!("the store refuses what run {number} of process {at} does"));
        let hold = self.processes[at].runs.remove(number).hold;
        self.commit(move |tx| release(tx, hold, Some("on purpose"))).await;
    }

    /// A process is gone with all that it had in memory.
    pub(super) fn kill(&mut self, at: usize) {
        let Process { id, is_odd, .. } = self.processes.remove(at);
        // Its rows are still its own: somebody has to bury it.
        self.zombies.push(Process { id, is_odd, runs: Vec::new() });
    }

    pub(super) async fn crash(&mut self) {
        if self.processes.is_empty() {
            return;
        }
        let at = self.draw(self.processes.len());
        self.note(format!("process {at} dies"));
        self.kill(at);
        let is_odd = self.draw(6) == 0;
        self.join(is_odd).await;
    }

    /// A process stands still for so long that its runs are taken over, and then goes on as if nothing were.
    pub(super) async fn bury_alive(&mut self) {
        if self.processes.len() < 2 {
            return self.join(false).await;
        }
        let at = self.draw(self.processes.len());
        let process = self.processes.remove(at);
        self.note(format!("process {at} is taken for dead"));
        let id = process.id;
        while self.commit(move |tx| bury(tx, id)).await {}
        self.zombies.push(process);
    }

    /// What was taken for dead does something after all, and what is dead is buried.
    pub(super) async fn late(&mut self) {
        let mut zombies = std::mem::take(&mut self.zombies);
        if zombies.is_empty() {
            return;
        }
        let at = self.draw(zombies.len());
        let mut process = zombies.remove(at);
        match process.runs.pop() {
            Some(mut run) => {
                let _ = run.go_on();
                for under_way in std::mem::take(&mut run.under_way) {
                    self.note("a process that was taken for dead records something");
                    let (hold, known) = (run.hold, run.machine.known());
                    if !matches!(self.record(hold, known, under_way).await, Answer::Lost) {
                        panic!("a run was written by a process that had lost it\n{}", self.told());
                    }
                }
                zombies.push(process);
            }
            None => {
                let id = process.id;
                while self.commit(move |tx| bury(tx, id)).await {}
            }
        }
        self.zombies = zombies;
    }

    pub(super) async fn cancel(&mut self) {
        if self.draw(6) != 0 {
            return;
        }
        let Some(id) = self.any() else { return };
        if self.commit(move |tx| cancel(tx, id)).await {
            self.note("a run is cancelled");
            self.cancelled.insert(id);
        }
    }

    /// Begins a run again that has ended or is blocked, from somewhere.
    pub(super) async fn restart(&mut self) {
        let Some(id) = self.any() else { return };
        let (whence, draw) = (self.draw(4), self.random.u64());
        // Its steps work together: from the middle it would wait for what nobody does again.
        let is_own = matches!(self.plans[&id], Plan::Own);
        let from = self.commit(move |tx| {
            let Some(row) = tx.get(id)? else { return Ok(None) };
            if !matches!(row.state, State::Ended | State::Blocked) || row.is_untold() || row.is_forgetting() {
                return Ok(None);
            }
            let steps = journal(tx, &row)?;
            let from = match whence {
                0 => RestartFrom::End,
                1 if !is_own && !steps.is_empty() => {
                    RestartFrom::Step(steps[(draw % steps.len() as u64) as usize].number)
                }
                2 if !is_own && !steps.is_empty() => {
                    RestartFrom::Name(steps[(draw % steps.len() as u64) as usize].name.clone())
                }
                _ => RestartFrom::Start,
            };
            restart(tx, id, from.clone())?;
            Ok(Some(from))
        });
        let Some(from) = from.await else { return };
        self.note(format!("a run is restarted from {from:?}"));
        self.cancelled.remove(&id);
        self.restarted.insert(id);
    }

    /// Half of what was cancelled goes on where it stopped.
    pub(super) async fn restart_cancelled(&mut self) {
        for id in std::mem::take(&mut self.cancelled) {
            let goes_on = self.draw(2) == 0
                && self
                    .commit(move |tx| {
                        if tx.get(id)?.is_none_or(|row| row.is_untold() || row.is_forgetting()) {
                            return Ok(false);
                        }
                        restart(tx, id, RestartFrom::End).map(|()| true)
                    })
                    .await;
            if goes_on {
                self.note("a run is restarted where it stopped");
            } else {
                self.cancelled.insert(id);
            }
        }
    }

    /// Forgets a run that has ended.
    pub(super) async fn forget(&mut self) {
        if self.draw(4) != 0 {
            return;
        }
        let Some(id) = self.any() else { return };
        if self.commit(move |tx| clean_up(tx, id)).await {
            self.note("a run is forgotten");
            self.lose_sight(id);
        }
    }

    fn lose_sight(&mut self, id: WorkflowId) {
        self.plans.remove(&id);
        self.cancelled.remove(&id);
    }
}
