//! The words of the command line: which operation each of them stands for.
//!
//! Every operation has words, also one that this file does not know: its group and its name.

/// A word that groups others.
pub(crate) struct Word {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// What it stands for alone: `loomwork threads` is `loomwork threads list`.
    pub(crate) alone: &'static str,
    pub(crate) examples: &'static str,
}

/// The groups, in the order in which they are shown.
pub(crate) const WORDS: &[Word] = &[
    Word {
        name: "threads",
        about: "Conversations: list, make, change and delete them",
        alone: "list",
        examples: "loomwork threads --user ada
  loomwork threads create --user ada --title 'A blue carpet'
  loomwork threads list --which all --all --json | jq -r '.items[].id'",
    },
    Word {
        name: "messages",
        about: "What was said in a thread",
        alone: "list",
        examples: "loomwork messages thread_01…
  loomwork messages thread_01… --follow --server http://127.0.0.1:3210
  loomwork messages save thread_01… --prompt 'A note'",
    },
    Word {
        name: "members",
        about: "Who takes part in a thread",
        alone: "list",
        examples: "loomwork members add thread_01… ben writer",
    },
    Word {
        name: "runs",
        about: "Answers that agents make",
        alone: "list",
        examples: "loomwork runs thread_01…
  loomwork runs abort run_01… --reason 'not needed any more'",
    },
    Word {
        name: "approvals",
        about: "Calls of tools that wait for somebody's word",
        alone: "list",
        examples: "loomwork approvals
  loomwork approvals approve approval_01… --reason 'they are right'",
    },
    Word {
        name: "questions",
        about: "The inbox: what agents ask people",
        alone: "inbox",
        examples: "loomwork questions
  loomwork questions answer question_01… 'They may keep it.'",
    },
    Word {
        name: "agents",
        about: "Who can be asked, and what they would be told",
        alone: "list",
        examples: "loomwork agents
  loomwork agents preview thread_01… 'How warm is it?' --agent weather",
    },
    Word {
        name: "search",
        about: "Finds what was said, by words and by meaning",
        alone: "messages",
        examples: "loomwork search 'blue carpets' --user ada
  loomwork search threads carpet",
    },
    Word {
        name: "knowledge",
        about: "What agents look up; `ingest` adds files and folders",
        alone: "namespaces",
        examples: "loomwork knowledge
  loomwork knowledge search handbook 'sending carpets back'
  loomwork knowledge add handbook 'We are closed on Sundays.' --about '{\"key\":\"hours\"}'",
    },
    Word {
        name: "files",
        about: "Files of messages and of knowledge",
        alone: "get",
        examples: "loomwork files get file_01…",
    },
    Word {
        name: "keys",
        about: "API keys: make, rotate and revoke them",
        alone: "list",
        examples: "loomwork keys create 'mobile app' chat --user ada --term 30d
  loomwork keys rotate key_01… --overlap 1h
  loomwork keys events",
    },
    Word {
        name: "jobs",
        about: "Durable jobs: look at them, stop and retry them",
        alone: "list",
        examples: "loomwork jobs --which dead
  loomwork jobs retry job_01…",
    },
    Word {
        name: "pools",
        about: "Pools of jobs: how full they are, pauses",
        alone: "get",
        examples: "loomwork pools default
  loomwork pools pause default",
    },
    Word {
        name: "crons",
        about: "What runs by the calendar",
        alone: "list",
        examples: "loomwork crons
  loomwork crons trigger invoices",
    },
    Word {
        name: "workflows",
        about: "Durable functions: follow them, send them events",
        alone: "list",
        examples: "loomwork workflows --name research
  loomwork workflows send workflow_01… read --value true",
    },
    Word {
        name: "limits",
        about: "Rate limits, and how they stand",
        alone: "list",
        examples: "loomwork limits get send-message --user ada",
    },
    Word {
        name: "usage",
        about: "What was used, and what it costs",
        alone: "total",
        examples: "loomwork usage --name ada --month 2026-11
  loomwork usage --by all --ever",
    },
    Word {
        name: "invoices",
        about: "Invoices of payers",
        alone: "list",
        examples: "loomwork invoices --state open
  loomwork invoices get invoice_01…",
    },
];

/// Operations whose words are not their group and their name.
const OTHERS: &[(&str, &str, &str)] = &[
    ("runs.live", "runs", "list"),
    ("jobs.pool", "pools", "get"),
    ("jobs.pause", "pools", "pause"),
    ("jobs.resume", "pools", "resume"),
    ("jobs.crons", "crons", "list"),
    ("jobs.pauseCron", "crons", "pause"),
    ("jobs.resumeCron", "crons", "resume"),
    ("jobs.triggerCron", "crons", "trigger"),
    ("usage.invoices", "invoices", "list"),
    ("usage.invoice", "invoices", "get"),
];

/// Returns the words of an operation.
pub(crate) fn of(id: &str) -> (String, String) {
    if let Some((_, group, name)) = OTHERS.iter().find(|(other, ..)| *other == id) {
        return ((*group).to_owned(), (*name).to_owned());
    }
    let (group, name) = id.split_once('.').unwrap_or((id, "get"));
    (kebab(group), kebab(name))
}

/// Writes a name of JSON as one of a command line: `oldestFirst` and `oldest_first` as `oldest-first`.
pub(crate) fn kebab(name: &str) -> String {
    let mut kebab = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            kebab.push('-');
        }
        kebab.push(if letter == '_' { '-' } else { letter.to_ascii_lowercase() });
    }
    kebab
}
