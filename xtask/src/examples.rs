//! Builds and runs every example: what a newcomer tries first must work.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::{
    metadata::{Metadata, Package, Target},
    process,
};

/// Examples end by themselves; a machine that is busy with a build needs some patience.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Builds and runs the examples of `crates/*` and the programs in `examples/*`.
pub(crate) fn run_all() -> Result<()> {
    let metadata = Metadata::of_members()?;
    ensure_programs_are_members(&metadata)?;
    let programs = programs(&metadata);
    if programs.is_empty() {
        println!("there are no examples");
        return Ok(());
    }
    for (program, executable) in build(&programs)? {
        println!("running example {}", program.title());
        let folder = metadata
            .target_directory
            .join("xtask/examples")
            .join(format!("{}-{}", program.package.name, program.target.name));
        // An empty folder of its own, so that an example neither finds nor leaves files.
        process::empty_folder(&folder)?;
        let mut command = Command::new(executable);
        command.current_dir(folder).stdin(Stdio::null()).env(process::MODEL.0, process::MODEL.1);
        // As `cargo run` would set it; inherited, it would name the folder of xtask.
        command.env("CARGO_MANIFEST_DIR", program.package.folder());
        process::run_within(&mut command, TIME_LIMIT)
            .with_context(|| format!("example {}", program.title()))?;
    }
    Ok(())
}

struct Program<'a> {
    package: &'a Package,
    target: &'a Target,
    /// What cargo calls this kind of target: `example` or `bin`.
    kind: &'static str,
}

impl Program<'_> {
    fn title(&self) -> String {
        format!("`{}` of `{}`", self.target.name, self.package.name)
    }
}

fn programs(metadata: &Metadata) -> Vec<Program<'_>> {
    let of = |folder: &'static str, kind: &'static str| {
        let packages = metadata.members_in(folder);
        packages.flat_map(move |package| {
            package.targets_of_kind(kind).map(move |target| Program { package, target, kind })
        })
    };
    of("crates", "example").chain(of("examples", "bin")).collect()
}

/// A folder in `examples/` that the root manifest does not list would never be built.
fn ensure_programs_are_members(metadata: &Metadata) -> Result<()> {
    let Ok(entries) = fs::read_dir(metadata.workspace_root.join("examples")) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        let manifest = entry.path().join("Cargo.toml");
        let is_member = metadata.members().any(|package| package.manifest_path == manifest);
        ensure!(
            is_member || !manifest.exists(),
            "examples/{} is no member of the workspace; add \"examples/*\" to `members` in the root Cargo.toml",
            entry.file_name().display()
        );
    }
    Ok(())
}

/// Builds all programs at once and returns each with its executable.
fn build<'a>(programs: &'a [Program<'a>]) -> Result<Vec<(&'a Program<'a>, PathBuf)>> {
    let mut command = process::cargo();
    command.args(["build", "--message-format", "json-render-diagnostics"]);
    for program in programs {
        command.args([
            "--package",
            &program.package.name,
            &format!("--{}", program.kind),
            &program.target.name,
        ]);
        for feature in &program.target.required_features {
            command.args(["--features", &format!("{}/{feature}", program.package.name)]);
        }
    }
    let built = executables(&process::output(&mut command)?)?;
    programs
        .iter()
        .map(|program| {
            let artifact = built.iter().find(|artifact| {
                artifact.package_id == program.package.id
                    && artifact.target.name == program.target.name
                    && artifact.target.kind == program.target.kind
            });
            let executable = artifact.and_then(|artifact| artifact.executable.clone());
            Ok((
                program,
                executable.with_context(|| format!("cargo built no executable of {}", program.title()))?,
            ))
        })
        .collect()
}

/// The messages of `cargo build` that matter here.
#[derive(Debug, Deserialize)]
struct Artifact {
    package_id: String,
    target: Target,
    executable: Option<PathBuf>,
}

fn executables(messages: &str) -> Result<Vec<Artifact>> {
    messages
        .lines()
        .filter(|line| line.contains(r#""reason":"compiler-artifact""#))
        .map(|line| serde_json::from_str(line).context("`cargo build` printed an unknown message"))
        .collect()
}
