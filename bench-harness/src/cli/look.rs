//! How a table looks: options of every command that prints one.

use std::io::{IsTerminal, stdout};

use clap::Args;

use super::talk::Talk;
use crate::report::{Column, Style, Unit};
use crate::statistics::Percentile;
use crate::units;

/// Options of a table.
#[derive(Debug, Clone, Args)]
pub(crate) struct Look {
    /// Columns of latencies in the table: percentiles such as 50,99,99.95, and max
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "50,90,99,99.9,99.99,max",
        value_parser = units::column
    )]
    percentiles: Vec<Column>,
    /// Unit of the latencies in the table
    #[arg(long, value_enum, default_value_t = Unit::Auto)]
    unit: Unit,
    /// Use only ASCII characters [default: where the output is no terminal]
    #[arg(long)]
    ascii: bool,
}

impl Look {
    /// The style that was asked for.
    pub(super) fn style(&self, talk: &Talk) -> Style {
        let ascii = self.ascii || !stdout().is_terminal();
        Style {
            columns: self.percentiles.clone(),
            unit: self.unit,
            ascii,
            colors: talk.has_colors(),
        }
    }

    /// The percentiles among the columns.
    pub(super) fn percentiles(&self) -> Vec<Percentile> {
        let percentile = |column: &Column| match column {
            Column::Percentile(percentile) => Some(percentile.clone()),
            Column::Max => None,
        };
        self.percentiles.iter().filter_map(percentile).collect()
    }
}
