use super::*;

/// What the program says for a packet that came in on `cpu`.
fn listener_of(program: &[libc::sock_filter], cpu: u32) -> u32 {
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let instruction = program[at];
        at += 1;
        match instruction.code {
            LOAD_WORD => {
                assert_eq!(instruction.k.cast_signed(), -0x1000 + 36, "the number of the CPU");
                accumulator = cpu;
            }
            JUMP_IF_EQUAL => {
                let hit = accumulator == instruction.k;
                at += usize::from(if hit { instruction.jt } else { instruction.jf });
            }
            RETURN => return instruction.k,
            code => panic!("no such instruction: {code:#x}"),
        }
    }
}

#[test]
fn each_cpu_has_its_listener_and_a_stranger_none() {
    let steering = CpuSteering::new().cpu(0, 1).cpu(5, 0).cpu(7, 1);
    let program = program(&steering).unwrap();
    for (cpu, listener) in [(0, 1), (5, 0), (7, 1), (1, NOBODY)] {
        assert_eq!(listener_of(&program, cpu), listener);
    }
}

#[test]
fn a_program_that_names_nobody_leaves_all_to_the_hash() {
    assert_eq!(listener_of(&program(&CpuSteering::new()).unwrap(), 0), NOBODY);
}

#[test]
fn more_cpus_than_the_filter_takes_are_an_error() {
    let many = |count| (0..count).fold(CpuSteering::new(), |steering, cpu| steering.cpu(cpu, 0));
    assert_eq!(program(&many(2047)).unwrap().len(), MAX_INSTRUCTIONS);
    assert_eq!(program(&many(2048)).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}
