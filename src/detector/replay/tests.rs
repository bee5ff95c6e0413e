//! What a replay makes of intervals.

use proptest::prelude::*;

use super::*;
use crate::detector::timeline::{LeftOut, Stay};

#[test]
fn third_return_from_a_long_absence_as_another_is_a_change_and_the_same_set_never_is() {
    let turns = |same: bool| -> Vec<Stay<Name>> {
        let host = |turn: i64| {
            if same {
                name("ns1.a.test")
            } else {
                name(&format!("ns{turn}.a.test"))
            }
        };
        (0..5)
            .map(|turn| stay(host(turn), turn * 30, Some(turn * 30 + 4)))
            .collect()
    };
    let names = turns(false);
    let timeline = points(&names, &[], 200);
    let hours: Vec<i64> = timeline
        .points
        .iter()
        .map(|it| it.moment.version_id)
        .collect();
    assert_eq!(hours, [90, 120]);
    assert!(
        timeline.points[0]
            .names_departure
            .is_within(Span::hours(96))
    );
    let absences: Vec<bool> = timeline.absences.iter().map(|(_, it)| *it).collect();
    assert_eq!(absences, [true, true, false, false]);
    assert!(points(&turns(true), &[], 200).points.is_empty());
}

fn moment(hour: i64) -> Moment {
    Moment {
        version_id: hour,
        at: Timestamp::from_unix(hour * 3600),
        serial: None,
        bulk: false,
        drift: false,
        shared_count: 0,
    }
}

fn stay<T>(value: T, added: i64, removed: Option<i64>) -> Stay<T> {
    let baseline = added == 0;
    Stay {
        value,
        added: moment(added),
        removed: removed.map(moment),
        baseline,
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("the test's name is valid")
}

/// Replays name servers up to an hour.
fn points(names: &[Stay<Name>], addresses: &[(Name, Stay<IpAddr>)], now: i64) -> Timeline {
    replay(&Replay {
        names: Some(names),
        addresses,
        reset_at: None,
        absence_max: Span::hours(24),
        is_union: false,
        now: Timestamp::from_unix(now * 3600),
        left_out: None,
    })
}

#[test]
fn version_that_loses_nothing_has_no_part_in_what_another_of_its_second_loses() {
    let in_one_second = |version_id: i64| Moment {
        version_id,
        ..moment(1)
    };
    let mut names = vec![stay(name("ns.a.test"), 0, None)];
    for version in 1..=5 {
        names.push(Stay {
            value: name(&format!("ns{version}.b.test")),
            added: in_one_second(version),
            removed: (version == 5).then(|| in_one_second(6)),
            baseline: false,
        });
    }
    let timeline = points(&names, &[], 2);
    let left: Vec<(i64, bool)> = timeline
        .points
        .iter()
        .map(|it| (it.moment.version_id, it.names_departure.is_some()))
        .collect();
    let none = (1..=5).map(|version| (version, false));
    assert_eq!(left, none.chain([(6, true)]).collect::<Vec<_>>());
}

#[test]
fn baseline_and_first_set_are_no_change() {
    let names = [stay(name("a.test"), 0, None)];
    assert_eq!(points(&names, &[], 9).points, []);
    let names = [stay(name("a.test"), 5, None)];
    assert_eq!(points(&names, &[], 9).points, []);
}

#[test]
fn short_absence_is_a_change_and_a_long_one_a_new_beginning() {
    let gone_for = |hours: i64| {
        let names = [
            stay(name("a.test"), 0, Some(10)),
            stay(name("b.test"), 10 + hours, None),
        ];
        points(&names, &[], 100).points.len()
    };
    assert_eq!((gone_for(1), gone_for(24), gone_for(25)), (1, 1, 0));
}

#[test]
fn what_moves_in_a_long_absence_is_nobodys_and_who_comes_back_as_another_begins_anew() {
    let address = |text: &str| text.parse::<IpAddr>().expect("valid");
    let host = || name("ns1.a.test");
    let addresses = [
        (host(), stay(address("192.0.2.1"), 0, Some(5))),
        (host(), stay(address("192.0.2.2"), 5, Some(12))),
        (host(), stay(address("192.0.2.3"), 12, None)),
    ];
    let moved = |back: &str, at: i64| -> Vec<i64> {
        let names = [stay(host(), 0, Some(10)), stay(name(back), at, None)];
        let found = points(&names, &addresses, 100).points;
        found.iter().map(|it| it.moment.version_id).collect()
    };
    assert_eq!(moved("ns1.a.test", 20), [5, 12]);
    assert_eq!(moved("ns1.a.test", 40), [5]);
    assert_eq!(moved("ns2.a.test", 40), [] as [i64; 0]);
    assert_eq!(moved("ns2.a.test", 20), [5, 12, 20]);
}

#[test]
fn names_and_glue_of_one_version_are_one_instant() {
    let names = [
        stay(name("ns1.a.test"), 0, Some(4)),
        stay(name("ns2.a.test"), 4, None),
        stay(name("ns3.a.test"), 0, None),
    ];
    let address = |text: &str| text.parse::<IpAddr>().expect("valid");
    let addresses = [
        (name("ns1.a.test"), stay(address("192.0.2.1"), 0, Some(4))),
        (name("ns2.a.test"), stay(address("192.0.2.2"), 4, None)),
        (name("ns3.a.test"), stay(address("192.0.2.3"), 0, Some(4))),
        (name("ns3.a.test"), stay(address("192.0.2.4"), 4, None)),
    ];
    let found = points(&names, &addresses, 9).points;
    assert_eq!(found.len(), 1);
    assert_eq!(
        (
            found[0].fresh_names,
            found[0].fresh_glue(),
            found[0].fresh_host_addresses
        ),
        (1, 1, 1)
    );
}

#[test]
fn values_that_come_back_are_not_fresh_and_what_comes_later_is_not_seen() {
    let names = [
        stay(name("a.test"), 0, Some(2)),
        stay(name("b.test"), 2, Some(4)),
        stay(name("a.test"), 4, Some(6)),
        stay(name("c.test"), 6, None),
    ];
    let fresh: Vec<u32> = points(&names, &[], 9)
        .points
        .iter()
        .map(|point| point.fresh_names)
        .collect();
    assert_eq!(fresh, [1, 0, 1]);
    assert_eq!(points(&names, &[], 5).points.len(), 2);
}

#[test]
fn what_leaves_soon_is_told_from_what_was_there_for_long() {
    let names = [
        stay(name("old.test"), 0, Some(200)),
        stay(name("b.test"), 200, Some(212)),
        stay(name("c.test"), 212, None),
        stay(name("more.test"), 300, None),
    ];
    let found: Vec<Departure> = points(&names, &[], 400)
        .points
        .iter()
        .map(|point| point.names_departure)
        .collect();
    let half_a_day = Departure::After(Span::hours(12));
    // What replaced the old name was gone after 12 hours, so that was no move for good.
    assert_eq!(found, [half_a_day, half_a_day, Departure::Nothing]);
    let found = points(&names[..1], &[], 400).points;
    assert_eq!(found, [], "gone, and nothing came");
    let moved = [
        stay(name("old.test"), 0, Some(200)),
        stay(name("b.test"), 200, None),
    ];
    let found = points(&moved, &[], 400).points;
    assert_eq!(found[0].names_departure, Departure::OfBaseline);
}

#[test]
fn name_server_that_takes_over_from_another_is_a_change() {
    let hosts: Vec<Name> = (0..4).map(|n| name(&format!("ns{n}.a.test"))).collect();
    let names: Vec<Stay<Name>> = hosts.iter().map(|it| stay(it.clone(), 0, None)).collect();
    // Each has an address for 10 hours and is back after 40, with another.
    let addresses: Vec<(Name, Stay<IpAddr>)> = (0..12_i64)
        .map(|turn| {
            let address = IpAddr::from([192, 0, 2, turn as u8]);
            let from = 10 + turn * 10;
            (
                hosts[turn as usize % 4].clone(),
                stay(address, from, Some(from + 10)),
            )
        })
        .collect();
    let found = points(&names, &addresses, 125).points;
    let fresh: u32 = found.iter().map(ChangePoint::fresh_glue).sum();
    assert_eq!((found.len(), fresh), (11, 11), "{found:?}");
    let is_soon = |point: &ChangePoint| {
        let mut changed = point.changed_hosts.iter();
        changed.all(|it| it.departure == Departure::After(Span::hours(10)))
    };
    assert!(found.iter().all(is_soon), "{found:?}");
}

#[test]
fn set_that_is_absent_is_there_for_as_long_as_is_waited_and_no_longer() {
    let names = [stay(name("a.test"), 5, Some(10))];
    let end_at = |now: i64| points(&names, &[], now).names[0].1.to;
    assert_eq!(end_at(20), None);
    assert_eq!(end_at(500), Some(Timestamp::from_unix(34 * 3600)));
}

#[test]
fn fifth_mass_change_of_a_week_excuses_nobody() {
    let mut names: Vec<Stay<Name>> = (0..8)
        .map(|n| stay(name(&format!("ns.x{n}.test")), n * 10, Some(n * 10 + 10)))
        .collect();
    for it in &mut names {
        it.added.bulk = true;
        it.removed.as_mut().expect("each left").bulk = true;
    }
    let found = points(&names, &[], 75).points;
    let excused: Vec<bool> = found.iter().map(|it| it.is_excused).collect();
    assert_eq!(excused, [true, true, true, true, false, false, false]);
}

#[test]
fn addresses_of_one_48_are_one_value() {
    let names = [stay(name("ns.a.test"), 0, None)];
    let address = |text: &str| text.parse::<IpAddr>().expect("valid");
    let addresses = [
        (
            name("ns.a.test"),
            stay(address("2001:db8:1::1"), 0, Some(3)),
        ),
        (
            name("ns.a.test"),
            stay(address("2001:db8:1:9::2"), 3, Some(6)),
        ),
        (name("ns.a.test"), stay(address("2001:db8:2::1"), 6, None)),
    ];
    let fresh: Vec<u32> = points(&names, &addresses, 9)
        .points
        .iter()
        .map(ChangePoint::fresh_glue)
        .collect();
    assert_eq!(fresh, [0, 1]);
}

#[test]
fn replay_of_the_newest_part_says_of_it_what_the_whole_says() {
    // Ten addresses in turn, two at a time, and a new one every tenth hour.
    let address = |hour: i64| {
        let last = if hour % 10 == 0 { hour } else { hour % 10 };
        IpAddr::from([192, 0, 2, last as u8])
    };
    let host = name("ns.a.test");
    let names = [stay(host.clone(), 0, None)];
    let all: Vec<(Name, Stay<IpAddr>)> = (0..200)
        .map(|hour| (host.clone(), stay(address(hour), hour, Some(hour + 2))))
        .collect();
    let cut = 100;
    let mut newest = all.clone();
    newest.retain(|(_, stay)| stay.removed.is_some_and(|end| end.version_id > cut));
    for (_, stay) in &mut newest {
        stay.baseline |= stay.added.version_id <= cut;
    }
    let part = LeftOut {
        addresses: (0..cut - 1).map(address).collect(),
        ..LeftOut::until(moment(cut).at)
    };
    let replayed = |addresses: &[(Name, Stay<IpAddr>)], left_out: Option<&LeftOut>| {
        let timeline = replay(&Replay {
            names: Some(&names),
            addresses,
            reset_at: None,
            absence_max: Span::hours(24),
            is_union: false,
            now: moment(199).at,
            left_out,
        });
        let points = timeline.points.into_iter();
        // How long what is there at the cut has been there is not known.
        points
            .filter(|point| point.moment.version_id > cut + 2)
            .collect::<Vec<_>>()
    };
    let whole = replayed(&all, None);
    assert_eq!(replayed(&newest, Some(&part)), whole);
    let unknown = LeftOut::until(part.until);
    assert_ne!(
        replayed(&newest, Some(&unknown)),
        whole,
        "nothing was seen before"
    );
}

#[test]
fn sets_of_a_long_history_are_bounded_and_the_newest_stay() {
    let host = name("ns.a.test");
    let names = [stay(host.clone(), 0, None)];
    // A set of 60 that loses one and gets one at every instant: 120 values a change.
    let addresses: Vec<(Name, Stay<IpAddr>)> = (1..1200)
        .map(|i| {
            let [.., high, low] = (i as u32).to_be_bytes();
            let mut one = stay(IpAddr::from([10, 0, high, low]), i, Some(i + 60));
            for end in [Some(&mut one.added), one.removed.as_mut()]
                .into_iter()
                .flatten()
            {
                end.at = Timestamp::from_unix(end.version_id);
            }
            (host.clone(), one)
        })
        .collect();
    let points = points(&names, &addresses, 1).points;
    let values: usize = points.iter().map(ChangePoint::value_count).sum();
    assert!(values <= DETAIL_VALUES_MAX, "{values} values");
    assert!(points.last().is_some_and(|point| point.has_sets));
    assert!(!points[0].has_sets && points[0].added_addresses == 1);
}

/// Returns intervals of values that leave and come back, and of which several may be there at a time.
fn drawn<T: std::fmt::Debug + Clone>(
    values: impl Strategy<Value = T>,
) -> impl Strategy<Value = Vec<Stay<T>>> {
    let one = (values, 0..60_i64, prop::option::of(1..40_i64));
    let one = one.prop_map(|(value, at, lasts)| stay(value, at, lasts.map(|it| at + it)));
    prop::collection::vec(one, 0..24)
}

proptest! {
    #[test]
    fn order_in_which_intervals_are_read_says_nothing(
        names in drawn((0..6_u8).prop_map(|n| name(&format!("ns{n}.a.test")))),
        hosts in drawn((0..7_u8, 0..9_u8, any::<bool>())),
        (is_of_names, is_union) in any::<(bool, bool)>(),
        (now, reset_at) in (0..110_i64, prop::option::of(0..80_i64)),
        shift in 1..20_usize,
    ) {
        let address = |last: u8, is_v6: bool| match is_v6 {
            true => IpAddr::from([0x2001, 0xdb8, u16::from(last / 2), 0, 0, 0, 0, u16::from(last)]),
            false => IpAddr::from([192, 0, 2, last]),
        };
        let hosts: Vec<(Name, Stay<IpAddr>)> = hosts
            .into_iter()
            .map(|it| {
                let (host, last, is_v6) = it.value;
                let value = address(last, is_v6);
                let Stay { added, removed, baseline, .. } = it;
                (name(&format!("ns{host}.a.test")), Stay { value, added, removed, baseline })
            })
            .collect();
        let replayed = |names: &[Stay<Name>], addresses: &[(Name, Stay<IpAddr>)]| {
            let timeline = replay(&Replay {
                names: is_of_names.then_some(names),
                addresses,
                reset_at: reset_at.map(|hour| moment(hour).at),
                absence_max: Span::hours(24),
                is_union,
                now: moment(now).at,
                left_out: None,
            });
            format!("{timeline:?}")
        };
        let turned = |count: usize| shift % count.max(1);
        let (mut other_names, mut other_hosts) = (names.clone(), hosts.clone());
        other_names.rotate_left(turned(names.len()));
        other_hosts.reverse();
        other_hosts.rotate_left(turned(hosts.len()));
        prop_assert_eq!(replayed(&names, &hosts), replayed(&other_names, &other_hosts));
    }
}
