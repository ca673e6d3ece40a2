//! Users' own data: a CSV file with a line for each client.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::problem::Problem;

/// A larger file is refused unread.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The users, in the order of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Users {
    /// The file.
    pub(crate) name: String,
    /// The names of the columns.
    pub(crate) columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// Where a scenario's users are: beside the scenario, unless the path is absolute.
pub(crate) fn beside(scenario: &str, file: &str) -> PathBuf {
    Path::new(scenario).parent().unwrap_or_else(|| Path::new("")).join(file)
}

impl Users {
    /// Reads a file. The first line names the columns.
    pub(crate) fn read(path: &Path) -> Result<Self, Problem> {
        let name = path.display().to_string();
        let wrong = |fact: String| Problem::new(format!("{name}: {fact}"));
        let unread = |error: std::io::Error| wrong(format!("cannot be read: {error}"));
        let size = std::fs::metadata(path).map_err(unread)?.len();
        if size > FILE_BYTES_MAX {
            return Err(wrong(format!("{size} bytes; the limit is {FILE_BYTES_MAX}")));
        }
        let text = std::fs::read(path).map_err(unread)?;
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_slice());
        let columns: Vec<String> = reader
            .headers()
            .map_err(|error| wrong(error.to_string()))?
            .iter()
            .map(str::to_owned)
            .collect();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        for (at, column) in columns.iter().enumerate() {
            if column.is_empty() || !column.chars().all(plain) {
                let problem = wrong(format!("`{column}` cannot be the name of a column"));
                return Err(problem.help("the first line names the columns: letters, digits, `_`"));
            }
            if columns.iter().take(at).any(|before| before == column) {
                return Err(wrong(format!("two columns are called `{column}`")));
            }
        }
        let row = |row: Result<csv::StringRecord, csv::Error>| {
            let row = row.map_err(|error| wrong(error.to_string()))?;
            Ok(row.iter().map(str::to_owned).collect())
        };
        let rows = reader.records().map(row).collect::<Result<_, Problem>>()?;
        Ok(Self { name, columns, rows })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// A user, by place in the file: what `$user` is.
    pub(crate) fn get(&self, place: usize) -> Option<Value> {
        let fields = self.columns.iter().cloned().zip(self.rows.get(place)?);
        let fields = fields.map(|(column, value)| (column, Value::from(value.as_str())));
        Some(Value::Object(fields.collect::<Map<_, _>>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Users, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("u.csv");
        std::fs::write(&path, text).expect("a file");
        let named = |problem: Problem| {
            problem.message.replace(&directory.path().display().to_string(), "DIR")
        };
        Users::read(&path).map_err(named)
    }

    #[test]
    fn each_line_is_somebody() {
        let users = read("login, pass\nann,\"a,b\"\nbob, $x\n").unwrap();
        assert_eq!(
            (users.len(), users.columns.as_slice()),
            (2, &["login".into(), "pass".into()][..])
        );
        assert_eq!(users.get(0), Some(serde_json::json!({"login": "ann", "pass": "a,b"})));
        assert_eq!(users.get(1), Some(serde_json::json!({"login": "bob", "pass": "$x"})));
        assert_eq!(users.get(2), None);
    }

    #[test]
    fn a_bad_file_is_told_of() {
        let fails = |text, part: &str| {
            let said = read(text).unwrap_err();
            assert!(said.contains(part), "{said}");
        };
        fails("login,login\n", "two columns are called `login`");
        fails("log in\n", "`log in` cannot be the name of a column");
        fails(
            "a,b\n1\n",
            "DIR/u.csv: CSV error: record 1 (line: 2, byte: 4): found record with 1 fields",
        );
        assert!(Users::read(Path::new("no/such.csv")).is_err());
    }
}
