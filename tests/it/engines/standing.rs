//! Who polls, which standbys follow, and lookups at one.

use std::fs;
use std::time::Duration;

use crate::book::metric_rows;
use crate::engines::watched::{Pair, wait_until};
use crate::engines::with_flux;
use crate::harness::{Bench, Running};
use crate::monitoring::ONLY_OF_A_SERVER;
use crate::servers::Postgres;
use crate::support::clocks::faked;
use crate::support::proxy::{Proxy, Way};
use crate::support::stores::has_no_file;

#[test]
fn status_metrics_and_log_say_who_polls_and_how_standbys_follow() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let primary = Postgres::start(folder.path());
    let url = primary.url("one");
    let standby = primary.standby(folder.path(), "other");
    let mut pair = Pair::new("one", &url, &url);
    pair.first.configure(&format!(
        "{}[metrics]\ntextfile = \"fluxwatch.prom\"\n",
        Pair::FEED
    ));
    assert!(
        pair.second
            .run_stderr(1, &["status"])
            .contains("no database")
    );
    let service = Running::start(&pair.first, &["run"]);
    pair.wait_for_newest(&primary, "it polls");
    let who = format!("process {} on ", service.id());
    let status = pair.second.run_stderr(0, &["status"]);
    assert!(status.contains(&format!("polled by {who}")), "{status}");
    assert!(
        status.contains("standby other: ") && status.contains("asynchronous: a promotion may lose"),
        "{status}"
    );
    let said = pair.second.run_stderr(0, &["poll"]);
    assert!(
        said.contains("another fluxwatch") && said.contains(&who),
        "{said}"
    );
    wait_until("the log says it", || {
        let log = service.log();
        log.contains(&who) && log.contains("the standby other follows")
    });
    pair.change();
    wait_until("the metrics say it", || {
        let page = fs::read_to_string(pair.first.path().join("fluxwatch.prom")).unwrap_or_default();
        ONLY_OF_A_SERVER
            .iter()
            .all(|name| page.contains(&format!("# TYPE {name} ")))
            && page.contains("fluxwatch_poller_since_timestamp_seconds{host=")
            && page.contains("fluxwatch_database_standby_lag_bytes{standby=\"other\"}")
            && page.contains("fluxwatch_database_synchronous_standbys 0")
            && page.contains("fluxwatch_database_commits_wait 0")
    });
    // The manual says of them what the program does.
    let page = fs::read_to_string(pair.first.path().join("fluxwatch.prom")).expect("metrics");
    let manual = include_str!("../../../docs/reference/metrics.md");
    let rows = metric_rows(&page);
    let of_a_server = |row: &&str| {
        ONLY_OF_A_SERVER
            .iter()
            .any(|it| row.contains(&format!("`{it}`")))
    };
    let of_a_server: Vec<&str> = rows.lines().filter(of_a_server).collect();
    assert_eq!(of_a_server.len(), ONLY_OF_A_SERVER.len());
    for row in of_a_server {
        assert!(manual.contains(row), "{row}");
    }
    // A commit that waits for a standby that is not there.
    drop(standby);
    primary.set("synchronous_standby_names", "nobody");
    wait_until("status warns", || {
        pair.second
            .run_stderr(0, &["status"])
            .contains("every commit waits")
    });
    primary.set("synchronous_standby_names", "");
    service.stop();
    assert!(
        pair.second
            .run_stderr(0, &["status"])
            .contains("nobody polls")
    );
}

#[test]
fn lookups_are_answered_by_a_standby_unless_it_is_far_behind() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let primary = Postgres::start(folder.path());
    let url = primary.url("one");
    let bench = with_flux(Bench::on(&url, ""));
    bench.run(0, &["poll"]);
    let to_primary = Proxy::to(primary.port());
    let standby = primary.standby_by(folder.path(), "other", to_primary.port());
    let read = standby.url_at(standby.port(), "one");
    let near = with_flux(Bench::on(&format!("{url}\"\nread_url = \"{read}"), ""));
    let domain = bench.cases()[0]["domain"]
        .as_str()
        .expect("text")
        .to_owned();
    let lookups: [&[&str]; 5] = [
        &["history", &domain, "--format", "json"],
        &["explain", &domain, "--format", "json"],
        &["export", "--domain", &domain],
        &["diff", &domain, "2026-11-01"],
        &["history", &domain, "--at", "2099-01-01"],
    ];
    wait_until("the standby has it", || {
        standby
            .try_sql("select count(*) > 0 from one.abuse_case")
            .is_ok_and(|it| it == "t")
    });
    // It knows how old its state is from the first commit that it receives.
    primary.sql("create schema later");
    wait_until("the standby goes on", || {
        let sql = "select count(*) from pg_namespace where nspname = 'later'";
        standby.try_sql(sql).is_ok_and(|it| it == "1")
    });
    for lookup in lookups {
        let (here, there) = (
            bench.command(lookup).output(),
            near.command(lookup).output(),
        );
        let (here, there) = (here.expect("it starts"), there.expect("it starts"));
        assert_eq!(String::from_utf8_lossy(&there.stderr), "", "{lookup:?}");
        if lookup[0] != "export" {
            assert_eq!(here.stdout, there.stdout, "{lookup:?}");
        }
        assert!(there.status.success());
    }
    // Without the primary they are answered too: it is the standby that is asked.
    primary.kill();
    near.run(0, lookups[0]);
    primary.go_on();
    // Without the standby the primary answers, and the program says so.
    standby.kill();
    let said = near.run_stderr(0, lookups[0]);
    assert!(said.contains("store.read_url is not used now"), "{said}");
    standby.go_on();
    // One that is cut off from its primary shows an old state: not for longer than a minute.
    to_primary.go(Way::Closed);
    let sql =
        "select extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())::integer";
    if std::env::var_os("FLUXWATCH_CUT_S").is_some() {
        while standby
            .sql(sql)
            .parse::<i64>()
            .is_ok_and(|lag_s| lag_s <= 61)
        {
            std::thread::sleep(Duration::from_secs(1));
        }
        let said = near.run_stderr(0, lookups[0]);
        assert!(said.contains(" is ") && said.contains("s behind"), "{said}");
    }
}

#[test]
fn clocks_that_are_apart_are_told_and_times_of_versions_never_go_back() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let url = server.url("one");
    let source = "[[source]]\nname = \"z\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"example.zone\"\n";
    let benches = [Bench::on(&url, source), Bench::on(&url, source)];
    let write = |serial: u32| {
        for bench in &benches {
            bench.write(
                "example.zone",
                format!("example. 3600 IN SOA a.example. b.example. {serial} 1 1 1 1\nexample. 300 IN NS a.example.\na.example. 300 IN A 192.0.2.{serial}\n"),
            );
        }
    };
    let ahead = folder.path().join("clock");
    fs::write(&ahead, "+10m").expect("written");
    for serial in 1..=4 {
        write(serial);
        // In turn: one host's clock is ten minutes ahead.
        let is_ahead = serial % 2 == 1;
        let bench = &benches[usize::from(is_ahead)];
        let mut command = bench.command(&["poll"]);
        if is_ahead {
            command.envs(faked(&ahead));
        }
        let output = command.output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert_eq!(
            said.contains("ahead of the database server's"),
            is_ahead,
            "{said}"
        );
    }
    let back = "select count(*) from (select observed_at < lag(observed_at) over (order by id) as back from one.version) v where back";
    assert_eq!(server.sql(back), "0");
    assert_eq!(server.sql("select count(*) from one.version"), "4");
    let history = benches[0].run(0, &["history", "a.example", "--at", "2099-01-01"]);
    assert!(history.contains("192.0.2.4"), "{history}");
    assert!(benches[0].run(0, &["db", "verify"]).starts_with("sound"));
    let mut status = benches[1].command(&["status"]);
    let output = status.envs(faked(&ahead)).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("this machine's clock is ")
            && said.contains(" ahead of the database server's"),
        "{said}"
    );
}
