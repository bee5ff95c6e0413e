//! Who may import whom, kept by reading the sources. The tables are those of docs/developers/architecture.md; this file has none of
//! its own, so that the page cannot drift from what is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A source file.
struct Source {
    /// Its room: the first folder below `src/`, or the file itself.
    room: String,
    /// Its module path: `store::ledger::chain`; a `mod.rs` is its folder.
    module: String,
    path: PathBuf,
    /// Its code, without comments and without items that only tests have.
    code: String,
}

/// Returns the root of the package.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every source file.
fn sources() -> Vec<Source> {
    let below = root().join("src");
    let mut files = Vec::new();
    let mut folders = vec![below.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the source can be read") {
            let path = entry.expect("the source can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(&below).expect("below the root");
                let module = relative.with_extension("");
                let module = module.to_string_lossy().replace('/', "::");
                let module = module.trim_end_matches("::mod").to_owned();
                let room = module.split("::").next().expect("a name").to_owned();
                let text = fs::read_to_string(&path).expect("the source can be read");
                files.push(Source {
                    room,
                    module,
                    path,
                    code: code_of(&text),
                });
            }
        }
    }
    files
}

/// Returns the code of a file: without its comments, and without the items that only tests have.
///
/// Relies on rustfmt: an item ends at the first line that closes a brace at the item's own depth.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            if !line.trim_start().starts_with("//") {
                code.push_str(line);
                code.push('\n');
            }
            continue;
        }
        let depth = line.len() - line.trim_start().len();
        let close = format!("{}}}", " ".repeat(depth));
        let mut is_open = false;
        for line in lines.by_ref() {
            is_open |= line.trim_end().ends_with('{');
            if line == close || (!is_open && line.trim_end().ends_with(';')) {
                break;
            }
        }
    }
    code
}

/// Returns the paths that follow `prefix` in a text: the first `parts_max` names of each.
fn paths_after(code: &str, prefix: &str, parts_max: usize) -> BTreeSet<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let path_at = |at: usize| {
        let rest = &code[at + prefix.len()..];
        let names = rest.split("::").take(parts_max).map(|part| {
            let end = part.find(|c| !is_word(c)).unwrap_or(part.len());
            (&part[..end], end == part.len())
        });
        let mut path: Vec<&str> = Vec::new();
        for (name, is_whole) in names {
            path.push(name);
            if !is_whole {
                break;
            }
        }
        path.join("::")
    };
    let starts = |at: usize| !code[..at].ends_with(|c: char| is_word(c) || c == ':');
    code.match_indices(prefix)
        .filter(|(at, _)| starts(*at))
        .map(|(at, _)| path_at(at))
        .collect()
}

/// Returns the paths that follow `prefix` in a text, those between braces each by itself.
fn items_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut items = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(|c: char| is_word(c) || c == ':') {
            continue;
        }
        // The paths before each brace that is open.
        let (mut above, mut path): (Vec<String>, String) = (Vec::new(), String::new());
        for c in code[at + prefix.len()..].chars() {
            match c {
                c if is_word(c) || c == ':' => path.push(c),
                '{' if path.ends_with("::") => above.push(path.clone()),
                ',' | '}' if !above.is_empty() => {
                    items.insert(path.trim_end_matches(':').to_owned());
                    if c == '}' {
                        above.pop();
                    }
                    path = above.last().cloned().unwrap_or_default();
                }
                c if c.is_whitespace() && !above.is_empty() => {}
                _ => break,
            }
        }
        items.insert(path.trim_end_matches(':').to_owned());
    }
    items.remove("");
    items
}

#[test]
fn names_between_braces_are_read_each_by_itself() {
    let code = "use crate::a::{self, B, c::{D, E}, F};\nlet x = crate::g::h(1);";
    let expected = ["a", "a::B", "a::F", "a::c::D", "a::c::E", "a::self", "g::h"];
    let found: Vec<String> = items_after(code, "crate::").into_iter().collect();
    assert_eq!(found, expected);
}

/// Returns the rows of the table of docs/developers/architecture.md whose head is `head`, cut into cells.
fn rows_of(head: &str) -> Vec<Vec<String>> {
    let page = fs::read_to_string(root().join("docs/developers/architecture.md"))
        .expect("the page is there");
    let rows: Vec<Vec<String>> = page
        .lines()
        .skip_while(|line| *line != head)
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect();
    assert!(
        !rows.is_empty(),
        "docs/developers/architecture.md has no table {head}"
    );
    rows
}

/// Returns the words of a cell that stand between `mark`s.
fn marked(cell: &str, mark: char) -> Vec<String> {
    let words = cell.split(mark).skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

/// Returns each room with those that it may import.
fn layers() -> BTreeMap<String, BTreeSet<String>> {
    let mut layers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows_of("| layer | room | may import |") {
        let mut allowed: BTreeSet<String> = marked(&row[2], '`').into_iter().collect();
        for group in marked(&row[2], '*') {
            if group == "all above" {
                allowed.extend(layers.keys().cloned());
            } else {
                let rooms = groups.get(&group);
                let rooms = rooms.unwrap_or_else(|| panic!("{group} is no layer above"));
                allowed.extend(rooms.iter().cloned());
            }
        }
        for room in marked(&row[1], '`') {
            groups
                .entry(row[0].clone())
                .or_default()
                .insert(room.clone());
            layers.insert(room, allowed.clone());
        }
    }
    layers
}

/// Returns each foreign crate, as code names it, with the rooms, or folders of rooms, that may name it; empty for a
/// crate that is free.
fn owners() -> BTreeMap<String, BTreeSet<String>> {
    let mut owners = BTreeMap::new();
    for row in rows_of("| crate | rooms | what for |") {
        let rooms: BTreeSet<String> = marked(&row[1], '`').into_iter().collect();
        assert!(!rooms.is_empty() || row[1] == "free", "{row:?}");
        for name in marked(&row[0], '`') {
            owners.insert(name.replace('-', "_"), rooms.clone());
        }
    }
    owners
}

/// Returns the circles among modules that need each other.
fn circles(needs: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<Vec<String>> {
    let reachable = |from: &str| {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut next: Vec<&str> = needs[from].iter().copied().collect();
        while let Some(module) = next.pop() {
            if seen.insert(module) {
                next.extend(&needs[module]);
            }
        }
        seen
    };
    let reach: BTreeMap<&str, BTreeSet<&str>> = needs
        .keys()
        .map(|module| (*module, reachable(module)))
        .collect();
    let mut circles: Vec<Vec<String>> = Vec::new();
    for (module, seen) in &reach {
        let circle: Vec<String> = seen
            .iter()
            .filter(|other| seen.contains(module) && reach[**other].contains(module))
            .map(|other| (*other).to_owned())
            .collect();
        if circle.len() > 1 && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

/// Returns what the faces of a room's folders pass on: its path there, and where it is defined.
fn passed_on(of_room: &[&Source]) -> BTreeMap<String, String> {
    let mut passed = BTreeMap::new();
    for face in of_room {
        for path in items_after(&face.code, "pub use ") {
            let name = path.rsplit("::").next().unwrap_or(&path);
            let defined = match path.strip_prefix("crate::") {
                Some(path) => path.to_owned(),
                None => format!("{}::{path}", face.module),
            };
            passed.insert(format!("{}::{name}", face.module), defined);
        }
    }
    passed
}

/// Returns what each file of a room imports of the others, through a face or not.
fn needs_of<'a>(files: &'a [Source], room: &str) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let of_room: Vec<&Source> = files.iter().filter(|file| file.room == room).collect();
    let defined: BTreeSet<&str> = of_room.iter().map(|file| file.module.as_str()).collect();
    let passed = passed_on(&of_room);
    let mut needs = BTreeMap::new();
    for file in &of_room {
        let mut imported = BTreeSet::new();
        for path in items_after(&file.code, "crate::") {
            let mut path = path.as_str();
            while let Some(defined) = passed.get(path).filter(|it| *it != path) {
                path = defined;
            }
            while !path.is_empty() && !defined.contains(path) {
                path = path.rsplit_once("::").map_or("", |(above, _)| above);
            }
            if let Some(module) = defined.get(path)
                && *module != room
                && *module != file.module
            {
                imported.insert(*module);
            }
        }
        needs.insert(file.module.as_str(), imported);
    }
    needs
}

#[test]
fn rooms_import_only_what_their_layer_allows() {
    let layers = layers();
    let mut faults = Vec::new();
    for file in sources().iter().filter(|file| file.room != "lib") {
        let allowed = layers.get(&file.room).unwrap_or_else(|| {
            panic!(
                "docs/developers/architecture.md: room {} has no layer",
                file.room
            )
        });
        for imported in paths_after(&file.code, "crate::", 1) {
            if layers.contains_key(&imported)
                && imported != file.room
                && !allowed.contains(&imported)
            {
                faults.push(format!("{} imports {imported}", file.path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn each_room_of_the_page_is_there() {
    let rooms: BTreeSet<String> = sources().into_iter().map(|file| file.room).collect();
    for (room, allowed) in layers() {
        for named in allowed.iter().chain([&room]) {
            assert!(rooms.contains(named), "{named} is no room");
        }
    }
    let modules: BTreeSet<String> = sources().into_iter().map(|file| file.module).collect();
    for (name, owners) in owners() {
        for room in owners {
            let is_there = rooms.contains(&room) || modules.contains(&room);
            assert!(is_there, "{name}: {room} is no room and no folder of one");
        }
    }
}

/// Returns whether a file is in one of some rooms, or in a folder of a room that is named with it (`store::sqlite`).
fn is_in(file: &Source, rooms: &BTreeSet<String>) -> bool {
    let parents = file.module.match_indices("::").map(|(end, _)| end);
    parents
        .chain([file.module.len()])
        .any(|end| rooms.contains(&file.module[..end]))
}

#[test]
fn foreign_crates_stay_in_their_rooms() {
    let owners = owners();
    let mut faults = Vec::new();
    for file in sources() {
        for (name, rooms) in owners.iter().filter(|(_, rooms)| !rooms.is_empty()) {
            let is_named = !paths_after(&file.code, &format!("{name}::"), 1).is_empty();
            if is_named && !is_in(&file, rooms) {
                faults.push(format!("{} names {name}", file.path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn each_dependency_has_a_row_with_its_rooms() {
    let owners = owners();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest is there");
    let dependencies: Vec<String> = manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name.trim_start_matches("rustls-web").replace('-', "_"))
        .map(|name| {
            if name == "pki" {
                "webpki".to_owned()
            } else {
                name
            }
        })
        .collect();
    assert!(dependencies.len() > 20, "{dependencies:?}");
    for name in dependencies {
        assert!(owners.contains_key(&name), "{name} has no row");
    }
}

#[test]
fn no_two_files_of_a_room_need_each_other() {
    let files = sources();
    let mut found = Vec::new();
    for room in layers().keys() {
        found.extend(circles(&needs_of(&files, room)));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_two_folders_of_a_room_need_each_other() {
    let files = sources();
    let mut found = Vec::new();
    for room in layers().keys() {
        let needs = needs_of(&files, room);
        let folder = |module: &str| {
            let parts: Vec<&str> = module.split("::").collect();
            (parts.len() > 2).then(|| parts[..2].join("::"))
        };
        let mut between: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (module, imported) in &needs {
            if let Some(from) = folder(module) {
                let others = imported.iter().filter_map(|other| folder(other));
                let others = others.filter(|to| *to != from);
                between.entry(from.clone()).or_default().extend(others);
            }
        }
        let between: BTreeMap<&str, BTreeSet<&str>> = between
            .iter()
            .map(|(from, to)| (from.as_str(), to.iter().map(String::as_str).collect()))
            .collect();
        found.extend(circles(&between));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_file_that_needs_one_that_needs_it_is_a_circle() {
    let needs = BTreeMap::from([
        ("a", BTreeSet::from(["b"])),
        ("b", BTreeSet::from(["c"])),
        ("c", BTreeSet::from(["a"])),
        ("d", BTreeSet::from(["a"])),
    ]);
    assert_eq!(circles(&needs), [["a", "b", "c"]]);
}

#[test]
fn code_behind_an_item_of_tests_is_read_too() {
    let text = "use a;\n#[cfg(test)]\nimpl A {\n    fn b() {}\n}\nuse c;\n#[cfg(test)]\nuse d;\nfn e() {}\n";
    assert_eq!(code_of(text), "use a;\nuse c;\nfn e() {}\n");
}

#[test]
fn model_rooms_have_no_io_no_clock_and_no_log() {
    let mut faults = Vec::new();
    for file in sources() {
        let model = [
            "count", "dns", "zone", "evidence", "detector", "case", "report", "outbox",
        ];
        if model.contains(&file.room.as_str()) {
            let words = [
                "std::fs",
                "std::net::Tcp",
                "std::net::Udp",
                "SystemTime",
                "Instant::now",
                "tracing::",
                "async fn",
                "println!",
                "std::env",
            ];
            faults.extend(
                words
                    .iter()
                    .filter(|word| {
                        file.code.contains(**word)
                            && !(file.room == "report" && **word == "std::env")
                    })
                    .map(|word| format!("{}: {word}", file.path.display())),
            );
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn sql_stays_in_the_store() {
    for file in sources() {
        let code = file.code.to_lowercase();
        let has_sql = [
            "select ",
            "insert into",
            "update zone",
            "delete from",
            "pragma ",
        ]
        .iter()
        .any(|word| code.contains(word));
        assert!(!has_sql || file.room == "store", "{}", file.path.display());
    }
}

#[test]
fn ranges_of_names_are_written_once() {
    // Written by hand, one of them joined two conditions by `or`, and read every name of a zone for each case.
    for file in sources() {
        let is_range = file.code.contains("|| '/'");
        assert!(
            !is_range || file.module == "store::ranges",
            "{} writes a range of names: use store::ranges",
            file.path.display()
        );
    }
}

/// Returns the text literals of code, each without its quotes.
fn texts_of(code: &str) -> Vec<&str> {
    let (mut texts, mut rest) = (Vec::new(), code);
    while let Some(at) = rest.find('"') {
        let before = rest[..at].trim_end_matches('#');
        // `'"'` and `'\"'` are characters.
        if rest[..at].ends_with("'") || rest[..at].ends_with("'\\") {
            rest = &rest[at + 1..];
            continue;
        }
        let is_raw = before.ends_with('r');
        let close = format!(
            "\"{}",
            "#".repeat(if is_raw { at - before.len() } else { 0 })
        );
        let text = &rest[at + 1..];
        let mut end = 0;
        while !text[end..].starts_with(&close) {
            let is_escape = !is_raw && text[end..].starts_with('\\');
            let next = text[end..].chars().take(1 + usize::from(is_escape));
            end += next.map(char::len_utf8).sum::<usize>();
        }
        texts.push(&text[..end]);
        rest = &text[end + close.len()..];
    }
    texts
}

/// Returns what stands between the brackets after each call of a function in SQL.
fn calls_of<'a>(sql: &'a str, name: &str) -> Vec<&'a str> {
    let head = format!("{name}(");
    let is_whole = |at: usize| !sql[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let inside = |at: usize| {
        let mut depth = 0_usize;
        let end = sql[at..].find(|c| {
            depth += usize::from(c == '(');
            depth -= usize::from(c == ')');
            depth == 0
        });
        &sql[at + 1..at + end.unwrap_or(sql.len() - at)]
    };
    sql.match_indices(&head)
        .filter(|(at, _)| is_whole(*at))
        .map(|(at, _)| inside(at + name.len()))
        .collect()
}

/// Returns whether a character stands outside all brackets.
fn has_outside(text: &str, wanted: &[char]) -> bool {
    let mut depth = 0;
    text.chars().any(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0 && wanted.contains(&c)
    })
}

/// Returns what only SQLite takes in a statement.
fn only_sqlite(sql: &str) -> Vec<String> {
    // Words that stand between blanks, and functions.
    const WORDS: [&str; 20] = [
        "autoincrement",
        "begin immediate",
        "cross join",
        "dbstat",
        "glob",
        "indexed by",
        "insert or",
        "is ?",
        "is not ?",
        "isnull",
        "limit -1",
        "nocase",
        "or abort",
        "or fail",
        "or ignore",
        "or replace",
        "or rollback",
        "pragma",
        "replace into",
        "rowid",
    ];
    const FUNCTIONS: [&str; 27] = [
        "changes",
        "char",
        "date",
        "datetime",
        "group_concat",
        "hex",
        "ifnull",
        "iif",
        "instr",
        "json_each",
        "json_extract",
        "julianday",
        "last_insert_rowid",
        "likelihood",
        "likely",
        "printf",
        "quote",
        "randomblob",
        "rarray",
        "strftime",
        "total",
        "total_changes",
        "typeof",
        "unhex",
        "unixepoch",
        "unlikely",
        "zeroblob",
    ];
    let padded = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    let padded = format!(" {padded} ");
    let ends = |text: &str| !text.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let mut found: Vec<String> = Vec::new();
    for word in WORDS {
        let head = format!(" {word}");
        let mut places = padded.match_indices(&head);
        if places.any(|(at, _)| ends(&padded[at + head.len()..]) || word.ends_with('?')) {
            found.push(word.to_owned());
        }
    }
    for name in FUNCTIONS {
        found.extend(calls_of(&padded, name).first().map(|_| format!("{name}()")));
    }
    // The larger of two is `greatest` elsewhere, and `max` only that of rows.
    for name in ["max", "min"] {
        let two = calls_of(&padded, name)
            .into_iter()
            .filter(|it| has_outside(it, &[',']));
        found.extend(two.map(|it| format!("{name}({it})")));
    }
    // A condition is no number elsewhere: `count(*) filter (where …)`.
    let conditions = calls_of(&padded, "sum").into_iter();
    let conditions =
        conditions.filter(|it| !it.starts_with("case ") && has_outside(it, &['=', '<', '>']));
    found.extend(conditions.map(|it| format!("sum({it})")));
    // Elsewhere a place before the first character is none, and `x''` is a string of bits.
    let from_end = calls_of(&padded, "substr")
        .into_iter()
        .filter(|it| it.contains(", -"));
    found.extend(from_end.map(|it| format!("substr({it})")));
    // A name may stand between double quotes, a value may not.
    let padded = padded.replace("\\\"", "\"");
    let others = [
        " x'", "==", "= \"", "(\"", ", \"", "pragma_", "sqlite_", "->>",
    ];
    found.extend(
        others
            .iter()
            .filter(|it| padded.contains(**it))
            .map(|it| (*it).to_owned()),
    );
    // A bare column is ambiguous where it could be that of the row, or that of `excluded`.
    if let Some((_, set)) = padded.split_once(" do update set ") {
        let sides = set.split(',').filter_map(|it| it.split_once(" = "));
        let bare =
            sides.filter(|(column, value)| value.starts_with(&format!("{} ", column.trim())));
        found.extend(bare.map(|(column, value)| format!("{column} = {value}")));
    }
    found
}

#[test]
fn what_only_sqlite_takes_is_seen_in_a_statement() {
    let faults = [
        "insert or into a values (1)",
        "update or replace a set b = 1",
        "select max(b, coalesce(c, 1)) from a",
        "select coalesce(sum(kind = 'x'), 0) from a",
        "select 1 from a where b is ?",
        "select 1 from a where substr(b, -length(?1)) = ?1",
        "update a set b = x'00' where c = 1",
        "select rowid from a",
        "insert into a (b) values (1) on conflict (b) do update set b = b + 1",
        "select group_concat(b) from a",
        "select 1 from a where b = \"c\"",
    ];
    for sql in faults {
        assert_eq!(only_sqlite(sql).len(), 1, "{sql}: {:?}", only_sqlite(sql));
    }
    let sound = "insert into a (b) select max(coalesce(b, 0)) from c where d is not null and e is distinct from ?
                 on conflict (b) do update set b = a.b + 1, f = case when f then 1 end limit 1";
    assert_eq!(only_sqlite(sound), [""; 0]);
    let code = "let a = '\"'; let b = r#\"x \"y\" z\"#; c(\"d\\\"e\", \"f\")";
    assert_eq!(texts_of(code), ["x \"y\" z", "d\\\"e", "f"]);
}

#[test]
fn words_that_only_sqlite_has_stand_in_its_folder() {
    let keywords = [
        "select ",
        "insert ",
        "update ",
        "delete from ",
        " where ",
        "case when ",
        "create ",
        // The conditions that a statement is put together from.
        "?",
    ];
    let mut faults = Vec::new();
    for file in sources() {
        if file.room == "store" && !file.module.starts_with("store::sqlite") {
            for text in texts_of(&file.code) {
                if keywords.iter().any(|word| text.contains(word)) {
                    let found = only_sqlite(text).into_iter();
                    faults.extend(found.map(|word| format!("{}: {word}", file.path.display())));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn methods_of_the_store_and_the_pipeline_stand_with_their_handles() {
    for file in sources() {
        let is_face = file.module.matches("::").count() == 1;
        for name in ["Store", "Pipeline"] {
            assert!(
                !file.code.contains(&format!("impl {name} {{")) || is_face,
                "{}: a method of {name}; it belongs to the handle of its folder",
                file.path.display()
            );
        }
    }
}

#[test]
fn the_command_line_and_the_web_open_no_transaction() {
    for file in sources() {
        assert!(
            !["cli", "web"].contains(&file.room.as_str()) || !file.code.contains("begin_batch"),
            "{}: a transaction",
            file.path.display()
        );
    }
}

/// Returns the functions of code that take more than five parameters beside their receiver.
fn wide_functions(code: &str) -> Vec<String> {
    let mut wide = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let rest = &code[at + "fn ".len()..];
        let name: String = rest
            .chars()
            .take_while(|it| it.is_alphanumeric() || *it == '_')
            .collect();
        // Of `fn first<'a, T: Fn(u8)>(…)` the parameters begin where nothing is open any more.
        let (mut depth, mut parameters, mut before) = (0, Vec::new(), ' ');
        for it in rest[name.len()..].chars() {
            match it {
                '(' if depth == 0 => parameters.push(String::new()),
                ',' if depth == 1 && !parameters.is_empty() => parameters.push(String::new()),
                _ if !parameters.is_empty() => parameters.last_mut().expect("one").push(it),
                _ => {}
            }
            match it {
                '(' | '[' | '{' | '<' => depth += 1,
                '>' if before == '-' => {}
                ')' | ']' | '}' | '>' => depth -= 1,
                _ => {}
            }
            before = it;
            if depth == 0 && (it == ')' || it == ';' || it == '}') {
                break;
            }
        }
        let is_one = |it: &&String| {
            let it = it.trim().trim_end_matches(')').trim();
            !it.is_empty() && !it.ends_with("self")
        };
        if !name.is_empty() && parameters.iter().filter(is_one).count() > 5 {
            wide.push(name);
        }
    }
    wide
}

#[test]
fn no_function_takes_more_than_five_parameters_beside_its_receiver() {
    let six = "fn narrow<F: Fn(A, B) -> C>(&mut self, a: (A, B), b: B<C, D>, c: C, d: D, e: E,) {}
               fn wide(a: A, b: B, c: C, d: D, e: E, f: F) -> G {}";
    assert_eq!(wide_functions(six), ["wide"]);
    let mut faults = Vec::new();
    for file in sources() {
        let wide = wide_functions(&file.code).into_iter();
        faults.extend(wide.map(|name| format!("{}: {name}", file.path.display())));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
