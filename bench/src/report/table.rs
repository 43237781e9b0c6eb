//! One table, for the page and for the documentation.

use maud::{Markup, html};

/// A table. The first column is words, the others are figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new<'a>(head: impl IntoIterator<Item = &'a str>) -> Self {
        Self { head: head.into_iter().map(str::to_owned).collect(), rows: Vec::new() }
    }

    /// Adds a row; it has a cell for each column.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(super) fn html(&self) -> Markup {
        html! {
            div.scroll { table {
                thead { tr { @for cell in &self.head { th { (cell) } } } }
                tbody { @for row in &self.rows { tr { @for cell in row { td { (cell) } } } } }
            } }
        }
    }

    pub(super) fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rule = (0..self.head.len()).map(|column| if column == 0 { "---" } else { "---:" }.to_owned());
        let rule: Vec<String> = rule.collect();
        line(&self.head) + &line(&rule) + &self.rows.iter().map(|row| line(row)).collect::<String>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_have_the_same_cells() {
        let mut table = Table::new(["system", "ms"]);
        table.row(["a|b <c>".to_owned(), "1.5".to_owned()]);
        assert_eq!(table.markdown(), "| system | ms |\n| --- | ---: |\n| a\\|b <c> | 1.5 |\n");
        let html = table.html().into_string();
        assert!(html.contains("<td>a|b &lt;c&gt;</td><td>1.5</td>"), "{html}");
    }
}
