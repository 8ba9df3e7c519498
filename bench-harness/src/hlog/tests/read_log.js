// Reads an interval log with npm's hdr-histogram-js: each value of the untagged lines and how often it is there, then
// some percentiles.
const fs = require("fs");
const hdr = require("hdr-histogram-js");

const total = hdr.build({
  bitBucketSize: 64,
  lowestDiscernibleValue: 1,
  highestTrackableValue: 60_000_000_000,
  numberOfSignificantValueDigits: 3,
});
const untagged = hdr.build().tag;
const reader = new hdr.HistogramLogReader(fs.readFileSync(process.argv[2], "utf8"), 64);
for (let one; (one = reader.nextIntervalHistogram()); ) {
  if (one.tag === untagged) total.add(one);
}
const values = total.recordedValuesIterator;
values.reset();
while (values.hasNext()) {
  const item = values.next();
  console.log(item.valueIteratedTo, item.countAtValueIteratedTo);
}
for (const percentile of process.argv.slice(3)) {
  console.log(`p${percentile}`, total.getValueAtPercentile(Number(percentile)));
}
