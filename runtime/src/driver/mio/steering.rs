//! Which listener of a group takes a connection, by the CPU that its first packet came in on: a program
//! for the system's packet filter.

use std::io;

use crate::driver::source::CpuSteering;

/// The most instructions that the system takes.
const MAX_INSTRUCTIONS: usize = 4096;
/// No listener has this number; the system goes by its hash then.
const NOBODY: u32 = u32::MAX;

const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Where the filter finds the number of the CPU: beyond every packet.
const CPU_NUMBER: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_CPU).cast_unsigned();

/// The program: is it this CPU? Then that listener. Is it the next?
pub(super) fn program(steering: &CpuSteering) -> io::Result<Vec<libc::sock_filter>> {
    let instruction = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let mut program = vec![instruction(LOAD_WORD, CPU_NUMBER)];
    for &(cpu, listener) in steering.cpus() {
        program.push(libc::sock_filter { jf: 1, ..instruction(JUMP_IF_EQUAL, cpu) });
        program.push(instruction(RETURN, listener));
    }
    program.push(instruction(RETURN, NOBODY));
    if program.len() > MAX_INSTRUCTIONS {
        let text = "more CPUs than one program of the packet filter can tell apart";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(program)
}

#[cfg(test)]
mod tests;
