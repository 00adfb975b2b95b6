//! What the figures were measured on.

use std::fs::OpenOptions;
use std::io::Write as _;

use anyhow::Result;
use loomwork_core::Stopwatch;

const SYNCS: u32 = 200;

/// How many 8 KiB writes a second reach stable storage, one after the other.
pub(crate) fn fsyncs_per_second() -> Result<f64> {
    let path = std::env::temp_dir().join(format!("loomwork-fsync-{}", std::process::id()));
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    let watch = Stopwatch::start();
    for _ in 0..SYNCS {
        file.write_all(&[7; 8192])?;
        file.sync_data()?;
    }
    let rate = f64::from(SYNCS) / watch.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}

/// The processor's name and how many cores there are.
pub(crate) fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores", name.unwrap_or("unknown processor"))
}
