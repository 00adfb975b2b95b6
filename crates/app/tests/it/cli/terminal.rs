//! What is only so before a terminal, and what is not.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::program::{Folder, interrupt, read_rest, read_until};

/// A terminal: our side, and the program's.
fn terminal() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&ours).expect("it is ours");
    unlockpt(&ours).expect("it opens");
    let name = ptsname(&ours, Vec::new()).expect("it has a name").into_string().expect("text");
    let theirs = OpenOptions::new().read(true).write(true).open(name).expect("it opens");
    (ours.into(), theirs)
}

/// Runs a command before a terminal to its end, and returns what that showed.
fn shown(mut command: Command) -> String {
    let (ours, theirs) = terminal();
    let side = || Stdio::from(theirs.try_clone().expect("a handle"));
    let mut child = command.stdin(side()).stdout(side()).stderr(side()).spawn().expect("the program starts");
    // The command holds handles too; while there is one of that side, reading does not end.
    drop((command, theirs));
    let shown = read_rest(ours);
    child.wait().expect("it ends");
    shown
}

#[test]
fn colours_are_for_terminals_and_not_for_who_wants_none() {
    let folder = Folder::with_database();
    folder.run(&["threads", "create", "--title", "wool"]).done();
    assert!(!folder.run(&["threads"]).done().contains('\u{1b}'), "a pipe gets none");
    let mut command = folder.command(&["threads"]);
    command.env("TERM", "xterm");
    let coloured = shown(command);
    assert!(coloured.contains("\u{1b}[1mID") && coloured.contains("wool"), "{coloured:?}");
    let mut command = folder.command(&["threads"]);
    command.env("TERM", "xterm").env("NO_COLOR", "1");
    let plain = shown(command);
    assert!(!plain.contains('\u{1b}') && plain.contains("wool"), "{plain:?}");
}

#[test]
fn who_sits_before_a_terminal_is_asked_and_ends_by_ctrl_c_twice() {
    let folder = Folder::new();
    let (mut ours, theirs) = terminal();
    let side = || Stdio::from(theirs.try_clone().expect("a handle"));
    let mut command = folder.command(&["chat", "--agent", "assistant"]);
    let child = command.env("TERM", "xterm").stdin(side()).stdout(side()).stderr(side()).spawn();
    let mut child = child.expect("the program starts");
    drop((command, theirs));
    read_until(&mut ours, "> ");
    writeln!(ours, "Hello!").expect("it reads");
    read_until(&mut ours, "knows nothing by itself");
    read_until(&mut ours, "> ");
    interrupt(&child);
    read_until(&mut ours, "/quit ends");
    read_until(&mut ours, "> ");
    interrupt(&child);
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
}

#[test]
fn who_stops_reading_is_no_error() {
    let folder = Folder::with_database();
    for _ in 0..3 {
        folder.run(&["threads", "create"]).done();
    }
    let mut command = folder.command(&["threads"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    let said = read_rest(child.stderr.take().expect("a pipe"));
    assert_eq!((child.wait().expect("it ends").code(), said.as_str()), (Some(0), ""));
}
