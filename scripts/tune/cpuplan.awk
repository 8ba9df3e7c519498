# The plan from the facts that cpuplan has collected. Lists of CPUs are text, " 0 1 2 ".

function expand(list,    parts, range, n, count, i, text) {
  text = " "
  count = split(list, parts, ",")
  for (i = 1; i <= count; i++) {
    if (split(parts[i], range, "-") < 2) range[2] = range[1]
    for (n = range[1] + 0; n <= range[2] + 0; n++) text = text n " "
  }
  return text
}

function has(list, cpu) { return index(list, " " cpu " ") > 0 }

function length_of(list,    parts) { return split(list, parts, " ") }

function both(one, other,    parts, count, i, text) {
  text = " "
  count = split(one, parts, " ")
  for (i = 1; i <= count; i++) if (has(other, parts[i])) text = text parts[i] " "
  return text
}

function without(one, other,    parts, count, i, text) {
  text = " "
  count = split(one, parts, " ")
  for (i = 1; i <= count; i++) if (!has(other, parts[i])) text = text parts[i] " "
  return text
}

function first(list, many,    parts, count, i, text) {
  text = " "
  count = split(list, parts, " ")
  for (i = 1; i <= count && i <= many; i++) text = text parts[i] " "
  return text
}

# The kernel's notation, ascending.
function compress(list,    n, text, from) {
  from = -1
  for (n = 0; n <= most + 1; n++) {
    if (has(list, n)) { if (from < 0) from = n }
    else if (from >= 0) {
      text = text (text == "" ? "" : ",") from (n - 1 > from ? "-" (n - 1) : "")
      from = -1
    }
  }
  return text
}

function note(text) { notes[++note_count] = text }

# The first hyperthread of the core that a CPU belongs to, of those that may be used.
function core_of(cpu,    parts) {
  split(cpu in siblings ? both(siblings[cpu], allowed) : cpu, parts, " ")
  return parts[1]
}

# One CPU of every core in the list.
function cores(list,    parts, count, i, text) {
  text = " "
  count = split(list, parts, " ")
  for (i = 1; i <= count; i++) if (!has(text, core_of(parts[i]))) text = text core_of(parts[i]) " "
  return text
}

# All CPUs of the first `many` cores in the list.
function whole_cores(list, many,    parts, count, i, taken, text) {
  taken = first(cores(list), many)
  text = " "
  count = split(list, parts, " ")
  for (i = 1; i <= count; i++) if (has(taken, core_of(parts[i]))) text = text parts[i] " "
  return text
}

$1 == "online" { online = expand($2) }
$1 == "mask" { mask = expand($2) }
$1 == "cpuset" && cpuset == "" { cpuset = expand($2); cgroup = $3 }
$1 == "quota" && $2 + 0 > 0 && $3 + 0 > 0 && (quota == "" || $2 / $3 < quota) { quota = $2 / $3 }
$1 == "siblings" { siblings[$2] = expand($3) }
$1 == "node" && $3 != "" { node_numbers[++node_count] = $2; node_cpus[$2] = expand($3) }

function narrow(list, what,    rest) {
  if (list == "" || list == " ") return
  rest = both(allowed, list)
  if (rest == " ") note("no CPU is both allowed so far and in " what ": " what " is left out")
  else allowed = rest
}

function choose(    list, n, many, own) {
  housekeeping = given_housekeeping == "" ? "" : both(expand(given_housekeeping), allowed)
  irq = given_irq == "" ? "" : both(expand(given_irq), allowed)
  if (housekeeping == " " || irq == " ") {
    print "cpuplan: none of the CPUs that were given may be used" > "/dev/stderr"
    exit failed = 2
  }
  if (length_of(allowed) <= 4 && housekeeping == "" && irq == "") {
    housekeeping = irq = shards = allowed
    note("few CPUs: all of them do everything")
    return
  }
  if (housekeeping == "") housekeeping = whole_cores(without(allowed, irq), 1)
  if (irq == "" && length_of(cores(allowed)) <= 8) irq = housekeeping
  if (irq == "") for (n = 1; n <= node_count; n++) {
    own = both(without(allowed, housekeeping), node_cpus[node_numbers[n]])
    many = int((length_of(cores(own)) + 15) / 16)
    irq = (irq == "" ? " " : irq) substr(whole_cores(own, many), 2)
  }
  shards = without(without(allowed, housekeeping), irq)
  if (shards == " ") { shards = allowed; note("nothing is left for shards alone: they share all CPUs") }
}

function text_of(list) { return "\"" compress(list) "\"" }

function nodes_of(list,    n, text) {
  for (n = 1; n <= node_count; n++)
    if (both(list, node_cpus[node_numbers[n]]) != " ") text = text (text == "" ? "" : ",") node_numbers[n]
  return text
}

function json(    i) {
  print "{"
  print "  \"allowed\": " text_of(allowed) ","
  print "  \"physical_cores\": " length_of(cores(allowed)) ","
  print "  \"smt\": " (length_of(cores(allowed)) < length_of(allowed) ? "true" : "false") ","
  print "  \"nodes\": \"" nodes_of(allowed) "\","
  print "  \"cgroup_version\": " (cgroup == "" ? "null" : cgroup) ","
  print "  \"cpu_quota\": " (quota == "" ? "null" : sprintf("%.2f", quota)) ","
  print "  \"housekeeping\": " text_of(housekeeping) ","
  print "  \"irq\": " text_of(irq) ","
  print "  \"shards\": " text_of(shards) ","
  print "  \"shard_count\": " length_of(shards) ","
  printf "  \"notes\": ["
  for (i = 1; i <= note_count; i++) printf "%s\n    \"%s\"", (i > 1 ? "," : ""), notes[i]
  print (note_count ? "\n  ]" : "]")
  print "}"
}

function comments(    i) { for (i = 1; i <= note_count; i++) print "# " notes[i] }

# The kubelet needs CPUs of its own, so there no CPU does everything. It gives whole cores away, so a container
# has both threads of a core, also where only one is for a shard.
function kubernetes(    reserved, given) {
  reserved = both(allowed, housekeeping substr(irq, 2))
  given = one ? whole_cores(without(allowed, reserved), length_of(shards)) : shards
  if (both(reserved, shards) != " ") {
    reserved = whole_cores(allowed, 1)
    given = without(shards, reserved)
    note("the static CPU manager needs a reserved CPU: the first core is that")
  }
  if (one) note("give the server --shards " length_of(shards) ": it has both threads of each core")
  comments()
  if (given == " ") { print "# no CPU is left for a shard alone: the static CPU manager is of no use here"; return }
  print "# the kubelet's configuration"
  print "reservedSystemCPUs: " text_of(reserved)
  print "# the container's resources, as requests and as limits"
  print "cpu: \"" length_of(given) "\""
}

END {
  if (failed) exit failed
  sub(/^$/, " ", online)
  allowed = online != " " ? online : mask
  if (allowed == "" || allowed == " ") {
    print "cpuplan: the system does not tell which CPUs there are" > "/dev/stderr"
    exit 1
  }
  narrow(mask, "the affinity mask")
  narrow(cpuset, "the cpuset")
  count = split(allowed, parts, " ")
  most = parts[count] + 0
  if (!node_count) { node_count = 1; node_numbers[1] = 0; node_cpus[0] = allowed }
  choose()
  if (failed) exit failed
  if (one) shards = cores(shards)
  if (quota != "" && quota < length_of(shards)) {
    many = quota < 1 ? 1 : int(quota)
    note("the CPU quota pays for " sprintf("%.2f", quota) " CPUs: " many " of " length_of(shards) \
      " are planned; better take the quota away and give a cpuset")
    shards = first(shards, many)
  }
  if (split(nodes_of(shards), parts, ",") > 1)
    note("shards on several NUMA nodes: one process for each node keeps messages and memory near")
  if (format == "json") json()
  if (format == "shell") {
    comments()
    print "HOUSEKEEPING_CPUS=" compress(housekeeping)
    print "IRQ_CPUS=" compress(irq)
    print "SHARD_CPUS=" compress(shards)
    print "SHARD_COUNT=" length_of(shards)
  }
  if (format == "systemd") {
    comments()
    print "# for all else: systemctl set-property --runtime system.slice user.slice init.scope AllowedCPUs=" \
      compress(housekeeping)
    print "[Service]"
    print "CPUAffinity=" compress(shards)
    print "AllowedCPUs=" compress(shards)
    print "AllowedMemoryNodes=" nodes_of(shards)
    print "NUMAPolicy=bind"
    print "NUMAMask=" nodes_of(shards)
  }
  if (format == "kubernetes") kubernetes()
}
