"""Reads an interval log with PyPI's hdrhistogram: each value of the untagged lines and how often it is there, then
some percentiles."""

import sys

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

total = HdrHistogram(1, 60_000_000_000, 3)
reader = HistogramLogReader(sys.argv[1], total)
while (one := reader.get_next_interval_histogram()) is not None:
    if one.get_tag() is None:
        total.add(one)
for item in total.get_recorded_iterator():
    print(item.value_iterated_to, item.count_at_value_iterated_to)
for percentile in sys.argv[2:]:
    print(f"p{percentile}", total.get_value_at_percentile(float(percentile)))
