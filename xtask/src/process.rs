//! Other programs: found, shown, run and waited for.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::stopwatch::Stopwatch;

/// Returns the folder of the root manifest.
///
/// Cargo names the manifest it runs; the path at compile time is only for a binary that is
/// started by hand, and is wrong once the checkout has moved.
pub(crate) fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map(Path::to_path_buf).expect("the manifest of xtask is one folder below the root")
}

/// Names the model of programs that ask for the one at hand: none of them shall use somebody's key.
pub(crate) const MODEL: (&str, &str) = ("LOOMWORK_MODEL", "offline");

/// Returns a command that runs this toolchain's cargo at the root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).env(MODEL.0, MODEL.1);
    command
}

/// Returns the command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs the command in front of the user, and fails if it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    ensure!(status.success(), "`{}` failed with {status}", shown(command));
    Ok(())
}

/// Runs the command in front of the user and returns how it ended.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    eprintln!("$ {}", shown(command));
    command.status().with_context(|| format!("`{}` could not be started", shown(command)))
}

/// Returns what the command printed to its standard output, and fails if it failed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("`{}` could not be started", shown(command)))?;
    ensure!(output.status.success(), "`{}` failed with {}", shown(command), output.status);
    String::from_utf8(output.stdout).with_context(|| format!("`{}` printed no UTF-8", shown(command)))
}

/// Passes the exit code of another program on; one that a signal killed counts as failed.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The stream of a program that carries the lines one wants to see.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// Runs the command in front of the user and shows `see` each line of one stream as it passes.
pub(crate) fn watch(command: &mut Command, stream: Stream, mut see: impl FnMut(&str)) -> Result<ExitStatus> {
    eprintln!("$ {}", shown(command));
    match stream {
        Stream::Stdout => command.stdout(Stdio::piped()),
        Stream::Stderr => command.stderr(Stdio::piped()),
    };
    let mut child = command.spawn().with_context(|| format!("`{}` could not be started", shown(command)))?;
    if let Some(output) = child.stdout.take() {
        copy_lines(output, io::stdout(), &mut see)?;
    }
    if let Some(output) = child.stderr.take() {
        copy_lines(output, io::stderr(), &mut see)?;
    }
    child.wait().with_context(|| format!("`{}` could not be waited for", shown(command)))
}

fn copy_lines(from: impl Read, mut to: impl Write, see: &mut impl FnMut(&str)) -> io::Result<()> {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        see(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(())
}

/// Runs the command in front of the user, and fails if it fails or is still running after `limit`.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    let watch = Stopwatch::start();
    let mut child = command.spawn().with_context(|| format!("`{}` could not be started", shown(command)))?;
    loop {
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "it failed with {status}");
            return Ok(());
        }
        if watch.elapsed() >= limit {
            child.kill()?;
            child.wait()?;
            bail!("it was still running after {} s; it should end by itself", limit.as_secs());
        }
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "std waits for a child without a deadline, or not at all")]
fn pause() {
    thread::sleep(Duration::from_millis(20));
}

/// Makes the folder anew, with nothing in it.
pub(crate) fn empty_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("{} could not be emptied", path.display()));
        }
        _ => {}
    }
    fs::create_dir_all(path).with_context(|| format!("{} could not be created", path.display()))
}
