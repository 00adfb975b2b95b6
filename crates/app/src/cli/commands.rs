//! The commands, with their options and help.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use clap_complete::Shell;
use loomwork_core::Kind;

use super::door::operations;
use super::exit::CODES;
use super::output::Output;
use super::words::{self, WORDS};
use super::{arguments, chat, ingest, serve};
use crate::api::{Operation, Run};
use crate::error::{Error, Result};

// Names that no argument of an operation has: those have none with a dot.
pub(crate) const DB: &str = "at.db";
pub(crate) const SERVER: &str = "at.server";
pub(crate) const KEY_FILE: &str = "at.key-file";
pub(crate) const JSON: &str = "out.json";
pub(crate) const UTC: &str = "out.utc";
pub(crate) const FOLLOW: &str = "how.follow";
pub(crate) const ALL: &str = "how.all";
pub(crate) const LISTEN: &str = "listen";
pub(crate) const TO: &str = "to";

/// How many files `ingest` has on their way at once, unless it is told otherwise.
const AT_ONCE: &str = "4";

const ABOUT: &str = "A backend for AI agents: threads, answers, knowledge, jobs and bills, in one file";

const LONG_ABOUT: &str = "\
A backend for AI agents: threads, answers, knowledge, jobs and bills, in one file.

Without a word it serves the app. Every other command works on the database (`--db`), or on a running server \
(`--server URL`, with its key in LOOMWORK_KEY or in a file that `--key-file` names). What only reads works beside a \
server on the same database; what writes is told where that server answers.";

const EXAMPLES: &str = "\
Examples:
  loomwork                                 serve the app at http://127.0.0.1:3210
  loomwork chat --agent weather            talk to an agent
  loomwork ingest ./handbook               let agents look into files
  loomwork threads --json | jq .           for programs
  loomwork jobs --follow --server http://127.0.0.1:3210";

/// Returns the whole command line.
pub(crate) fn all() -> Command {
    let name = program_name();
    let mut all = Command::new(name)
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .long_about(LONG_ABOUT)
        .after_help(format!("{EXAMPLES}\n\n{CODES}"))
        .disable_help_subcommand(true)
        .args(globals());
    all = all.subcommand(serve_command()).subcommand(chat_command());
    for word in WORDS {
        all = all.subcommand(group(word.name, word.about, word.alone, word.examples));
    }
    // Groups that have no word of their own yet.
    let mut others: Vec<String> = operations().iter().map(|operation| words::of(&operation.id).0).collect();
    others.retain(|name| WORDS.iter().all(|word| word.name != *name));
    others.sort();
    others.dedup();
    for name in others {
        let about = format!("Operations on {name}");
        all = all.subcommand(group(&name, &about, "list", ""));
    }
    all.subcommand(ingest_command())
        .subcommand(run_command())
        .subcommand(backup_command())
        .subcommand(check_command())
        .subcommand(doctor_command())
        .subcommand(completions_command())
}

fn program_name() -> String {
    let program = std::env::current_exe().ok();
    let name =
        program.as_ref().and_then(|path| path.file_stem()).map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "loomwork".to_owned())
}

fn globals() -> [Arg; 5] {
    let heading = "Everywhere";
    [
        Arg::new(DB)
            .long("db")
            .value_name("PATH")
            .help("The database [default: ./loomwork.db]")
            .value_parser(value_parser!(PathBuf))
            .conflicts_with(SERVER),
        Arg::new(SERVER).long("server").value_name("URL").help("A running server, in place of the database"),
        Arg::new(KEY_FILE)
            .long("key-file")
            .value_name("PATH")
            .help("A file that holds the server's key [default: the variable LOOMWORK_KEY]")
            .value_parser(value_parser!(PathBuf)),
        Arg::new(JSON).long("json").action(ArgAction::SetTrue).help("Answer in JSON, one value a line"),
        Arg::new(UTC)
            .long("utc")
            .action(ArgAction::SetTrue)
            .help("Show and read dates in UTC, and not in the time of this machine"),
    ]
    .map(|arg| arg.global(true).help_heading(heading))
}

/// Returns the command of a group of operations, which alone is the one that `alone` names.
fn group(name: &str, about: &str, alone: &str, examples: &str) -> Command {
    let mut command = Command::new(name.to_owned()).about(about.to_owned());
    if !examples.is_empty() {
        command = command.after_help(format!("Examples:\n  {examples}"));
    }
    for operation in operations() {
        let (of, verb) = words::of(&operation.id);
        if of != name {
            continue;
        }
        if verb == alone {
            command = with_arguments(command, operation)
                .subcommand_negates_reqs(true)
                .args_conflicts_with_subcommands(true)
                .long_about(format!("{about}.\n\nAlone, it is `{name} {alone}`: {}", operation.summary));
        } else {
            command = command
                .subcommand(with_arguments(Command::new(verb.clone()), operation).about(about_of(operation)));
        }
        if verb == alone {
            let inner = with_arguments(Command::new(verb), operation).about(about_of(operation));
            command = command.subcommand(inner);
        }
    }
    command
}

fn about_of(operation: &Operation) -> String {
    operation.summary.trim_end_matches('.').to_owned()
}

fn with_arguments(command: Command, operation: &Operation) -> Command {
    let fields = arguments::of(operation);
    let mut place = 0;
    let mut command = command.args(fields.iter().map(|field| field.arg(&mut place)));
    if matches!(operation.run, Run::Query(_)) {
        let follow = Arg::new(FOLLOW).long("follow").short('f').action(ArgAction::SetTrue);
        command = command.arg(follow.help("Show it again whenever it is another one"));
    }
    let has = |name: &str| fields.iter().any(|field| field.name() == name);
    if has("limit") && has("after") {
        let all = Arg::new(ALL).long("all").action(ArgAction::SetTrue);
        command = command.arg(all.help("All pages, one behind the other").conflicts_with("after"));
    }
    command
}

/// Returns the operation that the words of a command line stand for, and what was given for it.
pub(crate) fn operation<'a>(
    group: &str,
    matches: &'a ArgMatches,
) -> Result<(&'static Operation, &'a ArgMatches)> {
    let alone = WORDS.iter().find(|word| word.name == group).map_or("list", |word| word.alone);
    let (verb, given) = matches.subcommand().unwrap_or((alone, matches));
    let found = operations().iter().find(|operation| {
        let (of, name) = words::of(&operation.id);
        of == group && name == verb
    });
    let missing = || {
        let message = format!("`{group}` does nothing alone; `loomwork {group} --help` tells what there is");
        Error::new(Kind::Invalid, message)
    };
    found.map(|operation| (operation, given)).ok_or_else(missing)
}

fn listen_arg() -> Arg {
    let help = format!("Where the server listens [default: {}]", serve::ADDRESS);
    Arg::new(LISTEN).long("listen").value_name("ADDRESS").help(help)
}

fn serve_command() -> Command {
    Command::new("serve")
        .about("Serves the app over HTTP, until Ctrl-C")
        .long_about(
            "Serves the app over HTTP, until Ctrl-C or a signal to end: what runs comes to its end within 30 seconds, \
             and the next start takes up what is left. The key is LOOMWORK_KEY, or one that is made and shown at \
             this start.",
        )
        .arg(listen_arg())
        .after_help("Examples:\n  loomwork serve --db support.db --listen 127.0.0.1:8080")
}

fn chat_command() -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    Command::new("chat")
        .about("Talks to an agent, here in the terminal")
        .long_about(
            "Talks to an agent, line by line: answers come as they are made, with calls of tools, and you are asked \
             before a call that needs an approval. Ctrl-C calls an answer off. Through a pipe, each line is asked in \
             its turn; a line behind a question of approval is its answer.",
        )
        .arg(Arg::new("prompt").value_name("PROMPT").help("Ask this, show the answer, and end"))
        .arg(option("thread", "THREAD", "Go on with this thread"))
        .arg(option("agent", "NAME", "The agent"))
        .arg(option("user", "USER", "Whose thread it is, where a new one is made"))
        .arg(Arg::new("yes").long("yes").action(ArgAction::SetTrue).help("Approve every call without being asked"))
        .after_help(
            "Examples:\n  loomwork chat\n  loomwork chat --agent weather 'How warm is it in Oslo?'\n  \
             echo 'Hello!' | loomwork chat --server http://127.0.0.1:3210",
        )
}

/// Returns how to talk.
pub(crate) fn chat(matches: &ArgMatches) -> chat::Asked {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    chat::Asked {
        prompt: text("prompt"),
        thread: text("thread"),
        agent: text("agent"),
        user: text("user"),
        approves_all: matches.get_flag("yes"),
    }
}

fn ingest_command() -> Command {
    Command::new("ingest")
        .about("Adds files and folders to what agents look up")
        .long_about(
            "Adds files and folders to knowledge: each file is an entry under its path, and is found by words and by \
             meaning. What is there unchanged costs nothing, so the command can be called again, also to go on where \
             it was broken off. Names that begin with a dot are passed over, and links are not followed.",
        )
        .arg(
            Arg::new("paths")
                .value_name("PATH")
                .num_args(1..)
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("Files and folders"),
        )
        .arg(
            Arg::new("namespace")
                .long("namespace")
                .short('n')
                .value_name("NAME")
                .default_value("handbook")
                .help("Where agents look; it is made if it is not there"),
        )
        .arg(Arg::new("prefix").long("prefix").value_name("TEXT").default_value("").help("Before the key of each entry"))
        .arg(
            Arg::new("at-once")
                .long("at-once")
                .value_name("COUNT")
                .default_value(AT_ONCE)
                .value_parser(value_parser!(u16).range(1..))
                .help("How many files are on their way at once"),
        )
        .after_help("Examples:\n  loomwork ingest ./handbook faq.md\n  loomwork ingest ./docs --namespace product --prefix docs/")
}

/// Returns what is to be added.
pub(crate) fn ingest(matches: &ArgMatches) -> Result<ingest::Asked> {
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    Ok(ingest::Asked {
        paths: matches.get_many::<PathBuf>("paths").into_iter().flatten().cloned().collect(),
        namespace: text("namespace"),
        prefix: text("prefix"),
        at_once: matches.get_one::<u16>("at-once").copied().unwrap_or(1).into(),
    })
}

fn run_command() -> Command {
    Command::new("run")
        .about("Calls a function of the application's own: a query, a mutation or an action")
        .arg(Arg::new("name").value_name("NAME").help("The function; without one, all are listed"))
        .arg(
            Arg::new("args")
                .value_name("JSON")
                .allow_hyphen_values(true)
                .help("Its arguments, an object; `-` reads standard input"),
        )
        .arg(
            Arg::new(FOLLOW)
                .long("follow")
                .short('f')
                .action(ArgAction::SetTrue)
                .help("Of a query: show it again whenever it is another one"),
        )
        .after_help("Examples:\n  loomwork run\n  loomwork run research.start '{\"topic\":\"returns\"}'")
}

fn backup_command() -> Command {
    Command::new("backup")
        .about("Copies the database with its files, also while a server uses it")
        .long_about(
            "Copies the database, as it is at one moment, and the contents of its files to PATH and PATH-files. It \
             never overwrites, and the copy appears under its name when it is whole. To go back to it, end the \
             server, move both in place of the old ones, and delete the folders PATH-search and PATH-knowledge of \
             the old one: they are made again.",
        )
        .arg(
            Arg::new(TO)
                .value_name("PATH")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("The file of the copy, which must not be there yet"),
        )
        .after_help("Examples:\n  loomwork backup /backups/$(date +%F).db")
}

fn check_command() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    Command::new("check")
        .about("Verifies that everything in the database fits together")
        .long_about(
            "Verifies the pages of the file, every row against every index, the counts and contents of files, and \
             the sums of open bills against their events. It reads everything, and works beside a server.",
        )
        .arg(flag("contents", "Read the contents of all files, and compare their digests"))
        .arg(flag("mend", "Mend what can be mended: counts of files, and contents that nobody has"))
        .after_help("Examples:\n  loomwork check --contents")
}

fn doctor_command() -> Command {
    Command::new("doctor")
        .about("Looks at what is around the program, and says what to do")
        .long_about(
            "Looks at the model that would answer, which keys of providers are set (their names alone), Ollama, the \
             clock, the database and its version, room on the disk, rights, and the port; with `--server`, at the \
             server and its key.",
        )
        .arg(listen_arg())
        .after_help("Examples:\n  loomwork doctor --json")
}

fn completions_command() -> Command {
    Command::new("completions")
        .about("Writes what a shell needs to complete commands")
        .arg(Arg::new("shell").value_name("SHELL").required(true).value_parser(value_parser!(Shell)))
        .after_help(
            "Examples:\n  loomwork completions bash > ~/.local/share/bash-completion/completions/loomwork\n  \
             loomwork completions zsh > ~/.zfunc/_loomwork\n  \
             loomwork completions fish > ~/.config/fish/completions/loomwork.fish",
        )
}

/// Writes the completions of a shell.
pub(crate) fn complete(matches: &ArgMatches, out: &Output) {
    let Some(shell) = matches.get_one::<Shell>("shell") else { return };
    let (mut command, name) = (all(), program_name());
    let mut written = Vec::new();
    clap_complete::generate(*shell, &mut command, name, &mut written);
    out.text(&String::from_utf8_lossy(&written));
}
