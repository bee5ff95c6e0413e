//! Processes that are killed.

/// Checks the database with another SQLite, on a copy.
pub const INTEGRITY: &str = "
import os, shutil, sqlite3, sys, tempfile
folder = tempfile.mkdtemp()
for end in ['', '-wal', '-journal']:
    if os.path.exists(sys.argv[1] + end): shutil.copy(sys.argv[1] + end, folder + '/copy.db' + end)
db = sqlite3.connect(folder + '/copy.db')
print(db.execute('pragma integrity_check').fetchone()[0], len(db.execute('pragma foreign_key_check').fetchall()))
db.close()
shutil.rmtree(folder)
";

/// Returns how many kills are asked for.
pub fn kills() -> u32 {
    std::env::var("FLUXWATCH_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20)
}
