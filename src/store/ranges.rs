//! Ranges of names that stand as keys: their labels in reverse, with dots between.

/// Returns the condition that a column holds the key of a name below another.
///
/// '/' follows '.', so that the range holds exactly the keys that go on with a label.
pub(in crate::store) fn is_below(column: &str, key: &str) -> String {
    format!("{column} >= {key} || '.' and {column} < {key} || '/'")
}

/// Returns the condition that a column holds the key of a name or of one below it.
///
/// A range stands first, since an index serves it; what lies in it beside the name's own (`a-b` beside `a` and `a.b`) is
/// sieved out. Two conditions joined by `or` would have a planner read every name of a zone.
pub(in crate::store) fn is_at_or_below(column: &str, key: &str) -> String {
    format!(
        "{column} >= {key} and {column} < {key} || '/' and ({column} = {key} or {column} >= {key} || '.')"
    )
}

#[cfg(test)]
mod tests {
    use crate::store::door::params;
    use crate::store::handle::{Store, StoreOptions};

    use super::*;

    /// Makes an empty store in a folder.
    fn empty_store(folder: &std::path::Path) -> Store {
        let options = StoreOptions {
            reverse_index: true,
            create: true,
        };
        Store::open(folder.join("f.db"), options).expect("made")
    }

    #[test]
    fn range_reads_nothing_of_the_zone_but_what_begins_with_the_key() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = empty_store(folder.path());
        for range in [is_below("o.name", "?2"), is_at_or_below("o.name", "?2")] {
            let sql = format!(
                "explain query plan select o.name from owner o where o.zone_id = ?1 and {range}"
            );
            let plan: Vec<String> = store
                .run(|db| db.query(&sql, params![1, "a"], |row| row.get("detail")))
                .expect("planned");
            let wanted = "(zone_id=? AND name>? AND name<?)";
            assert!(plan.len() == 1 && plan[0].ends_with(wanted), "{plan:?}");
        }
    }

    #[test]
    fn range_holds_the_name_and_what_is_below_it_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = empty_store(folder.path());
        for (range, wanted) in [
            (is_below("name", "?1"), ["b.a.c", "b.a.c.d"].as_slice()),
            (is_at_or_below("name", "?1"), &["b.a", "b.a.c", "b.a.c.d"]),
        ] {
            let sql = format!(
                "with keys (name) as (values ('b'), ('b.a'), ('b.a-'), ('b.a-.c'), ('b.a.c'), ('b.a.c.d'), ('b.a0'), ('b.b'))
                 select name from keys where {range} order by name"
            );
            let names = store.run(|db| db.values::<String>(&sql, ["b.a"]));
            assert_eq!(names.expect("read"), wanted);
        }
    }
}
