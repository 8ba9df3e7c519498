use std::cell::RefCell;

use corelane::lowlevel::DriverKind;

use super::*;
use crate::cores::AllowedCores;
use crate::placement::Placement;
use crate::report::ShardStart;

/// A run of this many shards, each on the core of its number.
fn report(shard_count: usize) -> StartReport {
    let cores: Vec<usize> = (0..shard_count).collect();
    let start = |core| ShardStart { id: ShardId::at(core), core: Some(core), is_placed: true };
    let shards = cores.iter().copied().map(start).collect();
    StartReport {
        placement: Placement::PerCore,
        allowed: AllowedCores::fixed(&cores),
        shards,
        driver: DriverKind::default(),
    }
}

fn group(shard_count: usize) -> Group {
    Group::new(&["127.0.0.1:0".parse().unwrap()], shard_count).unwrap()
}

/// Joins steered listeners; gives what was said last.
fn join(group: &Group, shards: &[usize], report: &StartReport) -> CpuSteering {
    let said = RefCell::default();
    for &shard in shards {
        let steer = |(): &(), steering: &CpuSteering| {
            said.replace(steering.clone());
            Ok(())
        };
        group.join_steered(ShardId::at(shard), report, || Ok(()), steer).unwrap();
    }
    said.into_inner()
}

fn steering(listeners: &[(u32, u32)]) -> CpuSteering {
    let new = CpuSteering::new();
    listeners.iter().fold(new, |steering, &(cpu, listener)| steering.cpu(cpu, listener))
}

#[test]
fn listeners_are_known_by_the_order_in_which_they_came() {
    let (group, report) = (group(3), report(3));
    assert_eq!(join(&group, &[2, 0, 1], &report), steering(&[(0, 1), (1, 2), (2, 0)]));
    assert_eq!(group.in_force(), Accept::ByCpu);
}

#[test]
fn the_last_listener_takes_the_number_of_one_that_leaves_and_is_told_before_it_closes() {
    let (group, report) = (group(3), report(3));
    join(&group, &[0, 1, 2], &report);
    let told = RefCell::new(Vec::new());
    let steer = |steering: &CpuSteering| {
        told.borrow_mut().push(Some(steering.clone()));
        Ok(())
    };
    group.leave(ShardId::at(0), &report, steer, || told.borrow_mut().push(None));
    // Shards 2 and 1 in this order; the core of shard 0 is of their node, and its turn is the first.
    let without = steering(&[(0, 0), (1, 1), (2, 0)]);
    assert_eq!(*told.borrow(), [Some(without), None]);
}

#[test]
fn where_steering_is_refused_the_system_goes_by_its_hash_and_is_not_asked_again() {
    let (group, report) = (group(2), report(2));
    let refuse = |(): &(), _: &CpuSteering| Err(io::ErrorKind::PermissionDenied.into());
    group.join_steered(ShardId::at(0), &report, || Ok(()), refuse).unwrap();
    assert_eq!(group.in_force(), Accept::ReusePort);
    let never = |(): &(), _: &CpuSteering| panic!("it is not asked again");
    group.join_steered(ShardId::at(1), &report, || Ok(()), never).unwrap();
    assert_eq!(group.in_force(), Accept::ReusePort);
}

#[test]
fn a_listener_that_fails_is_no_member() {
    let (group, report) = (group(2), report(2));
    let fail = || Err::<(), _>(io::ErrorKind::AddrInUse.into());
    group.join_steered(ShardId::at(0), &report, fail, |_, _| Ok(())).unwrap_err();
    assert_eq!(join(&group, &[1], &report), steering(&[(0, 0), (1, 0)]));
}

/// Has a shard accept so many connections; the last of them that ended the steering.
fn accept(group: &Group, shard: usize, count: u64) -> Option<u64> {
    let id = ShardId::at(shard);
    (0..count).map(|_| group.seats.opened(id)).filter(|&nth| group.falls_back(id, nth)).last()
}

#[test]
fn a_shard_that_gets_all_connections_ends_the_steering_once() {
    let (group, report) = (group(2), report(2));
    join(&group, &[0, 1], &report);
    assert_eq!(accept(&group, 1, 10), None);
    assert_eq!(accept(&group, 0, 1024), Some(256));
    assert_eq!(group.in_force(), Accept::ReusePort);
}

#[test]
fn a_shard_that_leaves_makes_sure_that_what_was_given_up_is_taken_off() {
    let (group, report) = (group(2), report(2));
    join(&group, &[0, 1], &report);
    // Whoever found out was to end the steering, and has closed its part before it did.
    assert!(accept(&group, 0, 1024).is_some());
    let told = RefCell::new(Vec::new());
    let steer = |steering: &CpuSteering| {
        told.borrow_mut().push(Some(steering.clone()));
        Ok(())
    };
    group.leave(ShardId::at(0), &report, steer, || told.borrow_mut().push(None));
    assert_eq!(*told.borrow(), [Some(CpuSteering::new()), None]);
}

/// A subscriber that asks, of each event, how connections come to `0`.
struct Asks(Arc<Group>);

impl tracing::Subscriber for Asks {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        let is_free = self.0.state.try_lock().is_ok();
        assert!(is_free, "asked now, it would never answer");
        assert_eq!(self.0.in_force(), Accept::ReusePort);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn what_is_said_of_a_server_is_said_when_it_can_be_asked() {
    let (refused, lopsided) = (Arc::new(group(2)), Arc::new(group(2)));
    tracing::subscriber::with_default(Asks(Arc::clone(&refused)), || {
        let refuse = |(): &(), _: &CpuSteering| Err(io::ErrorKind::PermissionDenied.into());
        refused.join_steered(ShardId::at(0), &report(2), || Ok(()), refuse).unwrap();
    });
    join(&lopsided, &[0, 1], &report(2));
    tracing::subscriber::with_default(Asks(Arc::clone(&lopsided)), || {
        assert!(accept(&lopsided, 0, 1024).is_some());
    });
}

#[test]
fn shards_that_share_the_connections_stay_steered() {
    let (group, report) = (group(2), report(2));
    join(&group, &[0, 1], &report);
    for _ in 0..100 {
        assert_eq!(accept(&group, 0, 64), None);
        assert_eq!(accept(&group, 1, 16), None);
    }
    assert_eq!(group.in_force(), Accept::ByCpu);
    // What came before does not count: from here on the first gets everything.
    assert!(accept(&group, 0, 1024).is_some());
}

#[test]
fn a_shard_that_serves_alone_gets_all_and_that_is_as_it_should_be() {
    let (group, report) = (group(2), report(2));
    join(&group, &[0], &report);
    assert_eq!(accept(&group, 0, 1024), None);
}

#[test]
fn shards_agree_on_how_connections_come_until_none_is_left() {
    let group = group(2);
    let (first, second) = (ShardId::at(0), ShardId::at(1));
    group.join(Accept::ReusePort, first).unwrap();
    let error = group.agree(Accept::InTurn, second).unwrap_err();
    assert_eq!(error.to_string(), "other shards serve there reuse-port, this one would in-turn");
    group.join(Accept::ReusePort, first).unwrap();
    for _ in 0..2 {
        group.leave(first, &report(2), |_| Ok(()), || ());
    }
    group.agree(Accept::InTurn, second).unwrap();
}

#[test]
fn the_first_opens_the_door_and_the_last_has_it_closed() {
    let (group, report) = (group(2), report(2));
    let doors = RefCell::new(0);
    let open = |listeners: Vec<TcpListener>| {
        assert_eq!(listeners[0].local_addr().unwrap(), group.addrs()[0]);
        *doors.borrow_mut() += 1;
        Ok(())
    };
    for shard in [1, 0] {
        group.join_dealt(Accept::InTurn, ShardId::at(shard), open).unwrap();
    }
    let error = group.join_dealt(Accept::InTurn, ShardId::at(0), open).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert_eq!((*doors.borrow(), group.acceptor()), (1, Some(ShardId::at(1))));
    let leave = |shard| group.leave(ShardId::at(shard), &report, |_| Ok(()), || ());
    assert!(matches!(leave(1), Farewell::Alone), "its door stays open for the other");
    assert!(matches!(leave(0), Farewell::CloseDoorOf(id) if id == ShardId::at(1)));
    assert_eq!(group.acceptor(), None);
}

#[test]
fn a_door_that_cannot_be_opened_leaves_the_address_to_the_next() {
    let group = group(2);
    let fail = |_| Err(io::ErrorKind::PermissionDenied.into());
    group.join_dealt(Accept::InTurn, ShardId::at(0), fail).unwrap_err();
    group.join_dealt(Accept::LeastLoaded, ShardId::at(1), |_| Ok(())).unwrap();
    assert_eq!(group.acceptor(), Some(ShardId::at(1)));
}

#[test]
fn groups_are_found_by_their_addresses_and_their_turn() {
    let groups = Groups::default();
    let any: Vec<SocketAddr> = vec!["127.0.0.1:0".parse().unwrap()];
    let first = groups.find(&any, 0, 2).unwrap();
    assert!(Arc::ptr_eq(&first.group, &groups.find(&any, 0, 2).unwrap().group));
    let second = groups.find(&any, 1, 2).unwrap();
    assert_ne!(first.group.addrs()[0].port(), 0);
    assert_ne!(first.group.addrs(), second.group.addrs());
}

#[test]
fn a_way_of_accepting_is_read_as_it_is_written() {
    for accept in [Accept::ReusePort, Accept::ByCpu, Accept::InTurn, Accept::LeastLoaded] {
        assert_eq!(accept.to_string().parse(), Ok(accept));
    }
    let error = "fastest".parse::<Accept>().unwrap_err();
    let text = "\"fastest\" is none of reuse-port, by-cpu, in-turn and least-loaded";
    assert_eq!(error.to_string(), text);
}

/// An address of the loopback net that other tests do not use.
const OURS: [u8; 4] = [127, 0, 77, 1];

#[test]
fn a_chosen_port_is_kept_while_somebody_serves_or_is_about_to_and_given_back_then() {
    let groups = Groups::default();
    let any = [SocketAddr::from((OURS, 0))];
    let is_free = |addr: SocketAddr| TcpListener::bind(addr).is_ok();
    let comer = groups.find(&any, 0, 2).unwrap();
    let (group, id) = (Arc::clone(&comer.group), ShardId::at(0));
    let addr = group.addrs()[0];
    assert!(!is_free(addr));
    group.join(Accept::ReusePort, id).unwrap();
    drop(comer);
    assert!(!is_free(addr), "somebody serves");
    group.leave(id, &report(2), |_| Ok(()), || ());
    assert!(is_free(addr));
    // Who comes late listens where the others did.
    let late = groups.find(&any, 0, 2).unwrap();
    assert_eq!(late.group.addrs(), [addr]);
    assert!(!is_free(addr));
    drop(late);
    assert!(is_free(addr), "it has given up");
}

#[test]
fn a_group_is_forgotten_when_nobody_serves_unless_others_may_come_for_its_port() {
    let groups = Groups::default();
    let port = bind_to((OURS, 0).into(), true).unwrap().1.port();
    for (port, kept) in [(port, 0), (0, 1)] {
        let comer = groups.find(&[(OURS, port).into()], 0, 2).unwrap();
        let (group, id) = (Arc::clone(&comer.group), ShardId::at(0));
        group.join(Accept::ReusePort, id).unwrap();
        drop(comer);
        assert_eq!(lock(&groups.0).len(), 1);
        group.leave(id, &report(2), |_| Ok(()), || ());
        groups.tidy();
        assert_eq!(lock(&groups.0).len(), kept);
    }
}
