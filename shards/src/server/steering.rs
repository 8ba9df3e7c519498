//! Which shard takes the connections that come in on which CPU, and the end of going by it.

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use std::sync::Arc;

use corelane::call_soon;
use corelane::lowlevel::CpuSteering;

use super::Group;
use crate::cores::Topology;
use crate::shard::Shard;

/// For every CPU of the machine the nearest listener: on this very CPU, on its physical core, on its NUMA
/// node. Several that are equally near take turns; a CPU far from all is left to the system. `listeners` are
/// the cores of the shards in the order in which they listen.
pub(super) fn nearest(topology: &Topology, listeners: &[Option<usize>]) -> CpuSteering {
    let mut steering = CpuSteering::new();
    let mut turn = 0;
    for cpu in &topology.cpus {
        let near = |is_near: &dyn Fn(usize) -> bool| -> Vec<u32> {
            let numbers = (0_u32..).zip(listeners);
            let near = numbers.filter(|(_, core)| core.is_none_or(is_near));
            near.map(|(number, _)| number).collect()
        };
        let circles = [
            near(&|core| core == cpu.number),
            near(&|core| topology.cpu(core).core == cpu.core),
            near(&|core| topology.cpu(core).node == cpu.node),
        ];
        let own = &circles[0];
        if let Some(nearest) = circles.iter().find(|circle| !circle.is_empty()) {
            // One alone on its own CPU does not use up a turn.
            let listener = nearest[if own.len() == 1 { 0 } else { turn % nearest.len() }];
            turn += usize::from(own.len() != 1);
            steering = steering.cpu(cpu.number as u32, listener);
        }
    }
    steering
}

/// Lets the system go by its hash again. The server is being told of a connection, so it happens later.
pub(super) fn end(group: &Arc<Group>) {
    let group = Arc::clone(group);
    call_soon(move || {
        let part = Shard::current().and_then(|shard| shard.servers().part_of(&group));
        if let Some(Err(error)) = part.map(|part| part.server.steer(&CpuSteering::new())) {
            corelane::__report!(WARN, "the steering cannot be ended: {error}");
        }
    });
}
