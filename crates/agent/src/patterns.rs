//! Ways in which agents work together and alone.

use futures_util::future::join_all;
use loomwork_messages::ThreadId;
use loomwork_models::ToolChoice;

use crate::agent::Agent;
use crate::context::defused;
use crate::error::AgentError;
use crate::options::Options;
use crate::prepare::{NextStep, PrepareStep};
use crate::reply::AgentReply;
use crate::stop::step_count;
use crate::thread::AgentHandle;

/// Asks several agents the same at once, and returns what each has come to, in their order. One that fails keeps no
/// other from its answer.
///
/// Agents of one thread would each take its turn, so let them answer in threads of their own or
/// [outside](Agent::for_user) of threads.
///
/// # Cancel safety
/// As [`generate_text`](AgentHandle::generate_text).
pub async fn ask_all<S, At>(
    agents: &[AgentHandle<S, At>],
    prompt: &str,
) -> Vec<Result<AgentReply, AgentError>>
where
    S: Send + Sync + 'static,
    At: Copy + Into<Option<ThreadId>>,
{
    join_all(agents.iter().map(|agent| agent.generate_text(prompt))).await
}

/// Returns a question with the answers that several have given to it, each between marks that name who gave it: for
/// an agent that makes one answer of them.
///
/// ```
/// use loomwork_agent::combined;
///
/// let prompt = combined("Is it safe?", [("chemist", "Yes."), ("lawyer", "It depends.")]);
/// assert!(prompt.contains("<answer from=\"lawyer\">\nIt depends.\n</answer>"));
/// ```
pub fn combined<'a>(question: &str, answers: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut prompt = format!(
        "Several have answered the question below. Make one answer of theirs, and say where they differ.\n<question>\n\
         {}\n</question>\n",
        defused(question, "question")
    );
    for (name, text) in answers {
        let name = name.replace(['"', '<', '>'], "'");
        prompt.push_str(&format!("<answer from=\"{name}\">\n{}\n</answer>\n", defused(text, "answer")));
    }
    prompt
}

impl<S: Send + Sync + 'static> Agent<S> {
    /// Lets it think and act in turn: it calls tools and reads what they return for so many steps at most, and in the
    /// last one answers with what it knows, so that there is always an answer.
    ///
    /// It sets a stop condition and what prepares steps; steps are prepared as before until the last one.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use loomwork_agent::{Agent, recall_edits};
    /// use loomwork_models::OfflineModel;
    ///
    /// # fn main() -> Result<(), loomwork_agent::ToolsError> {
    /// let scout = Agent::new("scout", Arc::new(OfflineModel::default())).tool(recall_edits())?.reacting(6);
    /// # let _ = scout;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn reacting(self, steps: usize) -> Self {
        let steps = steps.max(1);
        let before = self.options.prepare_step.clone();
        let prepare = PrepareStep::new(move |next: NextStep<S>| {
            let before = before.clone();
            async move {
                let mut next = match before {
                    Some(before) => before.prepare(next).await?,
                    None => next,
                };
                if next.number + 1 >= steps && !next.tools.is_empty() {
                    next.tool_choice = ToolChoice::None;
                }
                Ok(next)
            }
        });
        let (stop_when, prepare_step) = (Some(step_count(steps)), Some(prepare));
        self.with(Options { stop_when, prepare_step, ..Options::default() })
    }
}
