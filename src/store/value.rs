//! What statements take and give, and what can go wrong with one: values of our own, of no library.
//!
//! A type of the program becomes a parameter by [`IntoValue`] and is read from a column by [`FromValue`]. Nothing here
//! knows an engine, so both directions are written once for all of them.

use std::borrow::Cow;
use std::fmt;

use crate::case::{CaseState, DismissReason};
use crate::detector::{Level, Verdict};
use crate::dns::Serial;
use crate::evidence::Hash;
use crate::store::keys::{SourceId, SourceKind, View, ZoneId};
use crate::time::Timestamp;

/// Why a statement failed, in the engine's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    kind: Kind,
    text: String,
}

/// What kind of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// SQLite's own, with its number.
    Engine(i32),
    /// A PostgreSQL server's own, with its SQLSTATE.
    Server([u8; 5]),
    /// The way to a server, or the server is away.
    Away,
    /// The server's certificate is not one that is accepted.
    Untrusted,
    /// Whether a commit was done is not known.
    Unknown,
    /// Another server has the database now.
    Elsewhere,
    /// The tables are of this schema, which is not this program's.
    Schema(i32),
    /// A word in a column that this program does not write there.
    Word,
    /// A question that has to have an answer, and has none.
    NoRow,
    /// Anything else: a statement that does not fit the tables, a value of another type.
    Other,
}

impl Fault {
    /// Returns a fault that the engine numbers.
    pub(super) fn of_engine(code: i32, text: String) -> Self {
        let kind = Kind::Engine(code);
        Self { kind, text }
    }

    /// Returns a fault that a PostgreSQL server tells, with its SQLSTATE.
    pub(super) fn of_server(state: &str, text: String) -> Self {
        let kind = match state.as_bytes().try_into() {
            Ok(state) => Kind::Server(state),
            Err(_) => Kind::Other,
        };
        Self { kind, text }
    }

    /// Returns the fault of a server that cannot be reached, or was lost.
    pub(super) fn away(text: String) -> Self {
        let kind = Kind::Away;
        Self { kind, text }
    }

    /// Returns the fault of a server whose certificate is not accepted.
    pub(super) fn untrusted(text: String) -> Self {
        let kind = Kind::Untrusted;
        Self { kind, text }
    }

    /// Returns the fault of tables of another schema than this program's.
    pub(super) fn of_schema(found: i32) -> Self {
        Self {
            kind: Kind::Schema(found),
            text: format!("the tables are of schema {found}"),
        }
    }

    /// Returns the schema of tables that is not this program's, if that is the fault.
    pub(super) fn other_schema(&self) -> Option<i32> {
        match self.kind {
            Kind::Schema(found) => Some(found),
            _ => None,
        }
    }

    /// Returns it as the fault of a commit that was taken back.
    pub(super) fn taken_back(mut self) -> Self {
        self.text = format!(
            "{}, while the server was to commit: nothing of it was stored",
            self.text
        );
        self
    }

    /// Returns it as the fault of a commit of which nobody says whether it was done.
    pub(super) fn of_unknown_commit(self) -> Self {
        let text = format!(
            "{}, while the server committed: whether it was stored is not known",
            self.text
        );
        let kind = Kind::Unknown;
        Self { kind, text }
    }

    /// Returns whether it is that of a commit of which nobody says whether it was done.
    pub(super) fn is_unknown_commit(&self) -> bool {
        self.kind == Kind::Unknown
    }

    /// Returns the fault of work that was begun with another server than the one that has the database now.
    pub(super) fn elsewhere() -> Self {
        let text =
            "another server has taken the place of the one before: what was begun is begun anew";
        let (kind, text) = (Kind::Elsewhere, text.to_owned());
        Self { kind, text }
    }

    /// Returns whether another server has the database now.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.kind == Kind::Elsewhere
    }

    /// Returns whether the server's certificate is not one that is accepted.
    pub(super) fn is_untrusted(&self) -> bool {
        self.kind == Kind::Untrusted
    }

    /// Returns it with the statement that it is of.
    pub(super) fn in_statement(mut self, sql: &str) -> Self {
        if matches!(&self.kind, Kind::Server(state) if state.starts_with(b"42")) {
            let sql: Vec<&str> = sql.split_whitespace().collect();
            self.text = format!("{} in: {}", self.text, sql.join(" "));
        }
        self
    }

    /// Returns the server's SQLSTATE, if the server told it.
    pub(super) fn state(&self) -> Option<&str> {
        match &self.kind {
            Kind::Server(state) => std::str::from_utf8(state).ok(),
            _ => None,
        }
    }

    /// Returns whether the server or the way to it is away.
    pub(super) fn is_away(&self) -> bool {
        self.kind == Kind::Away
    }

    /// Returns a fault that the engine has no number for.
    pub(super) fn other(text: impl Into<String>) -> Self {
        let (kind, text) = (Kind::Other, text.into());
        Self { kind, text }
    }

    /// Returns the fault of a question that has to have an answer, and has none.
    pub(super) fn no_row() -> Self {
        Self {
            kind: Kind::NoRow,
            text: "Query returned no rows".to_owned(),
        }
    }

    /// Returns whether it is that of a question without an answer.
    pub(super) fn is_no_row(&self) -> bool {
        self.kind == Kind::NoRow
    }

    /// Returns the engine's number of it, if it has one.
    pub(super) fn code(&self) -> Option<i32> {
        match self.kind {
            Kind::Engine(code) => Some(code),
            _ => None,
        }
    }

    /// Returns what a column holds that this program does not write there, if that is the fault.
    pub(super) fn damage(&self) -> Option<&str> {
        (self.kind == Kind::Word).then_some(self.text.as_str())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A value of a column, as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Octets(Vec<u8>),
}

/// A value of a column, as long as its row is read, or a parameter, as long as it is bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ValueRef<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a str),
    Octets(&'a [u8]),
    /// A list of numbers; only a parameter.
    Numbers(&'a [i64]),
    /// A list of texts; only a parameter.
    Texts(&'a [String]),
}

impl ValueRef<'_> {
    /// Returns the name of its type.
    pub(super) fn type_name(self) -> &'static str {
        match self {
            Self::Null => "Null",
            Self::Integer(_) => "Integer",
            Self::Real(_) => "Real",
            Self::Text(_) => "Text",
            Self::Octets(_) => "Blob",
            Self::Numbers(_) | Self::Texts(_) => "list",
        }
    }
}

/// Why a column's value is none of the type that it is read as.
#[derive(Debug)]
pub(super) enum Mismatch {
    /// Another type: its name.
    Type(&'static str),
    /// A number outside the type's range.
    Range(i64),
    /// So many octets where another number of them is wanted.
    Length(usize),
    /// A word that this program does not write there: what it should be, and the word.
    Word(&'static str, String),
}

impl Mismatch {
    /// Returns the fault of a column.
    pub(super) fn of_column(self, column: &str) -> Fault {
        match self {
            Self::Type(name) => Fault::other(format!("column {column} is {name}")),
            Self::Range(number) => {
                Fault::other(format!("column {column} is {number}: out of range"))
            }
            Self::Length(octets) => Fault::other(format!("column {column} has {octets} bytes")),
            Self::Word(what, word) => Fault {
                kind: Kind::Word,
                text: format!("{what} {word:?}"),
            },
        }
    }
}

/// What can be a parameter.
pub(super) trait IntoValue {
    /// Returns it as a value.
    fn to_value(&self) -> ValueRef<'_>;
}

/// What a column can be read as.
pub(super) trait FromValue: Sized {
    /// Reads a value.
    fn from_value(value: ValueRef<'_>) -> Result<Self, Mismatch>;
}

/// Numbers as one parameter, for a statement that reads them as rows.
#[derive(Debug, Clone, Default)]
pub(super) struct Numbers(pub Vec<i64>);

impl FromIterator<i64> for Numbers {
    fn from_iter<I: IntoIterator<Item = i64>>(numbers: I) -> Self {
        Self(numbers.into_iter().collect())
    }
}

impl IntoValue for Numbers {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Numbers(&self.0)
    }
}

/// Texts as one parameter, for a statement that reads them as rows.
#[derive(Debug, Clone)]
pub(super) struct Texts(pub Vec<String>);

impl IntoValue for Texts {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Texts(&self.0)
    }
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Integer(number) => Self::Integer(*number),
            Value::Real(number) => Self::Real(*number),
            Value::Text(text) => Self::Text(text),
            Value::Octets(octets) => Self::Octets(octets),
        }
    }
}

impl IntoValue for Value {
    fn to_value(&self) -> ValueRef<'_> {
        self.into()
    }
}

impl FromValue for Value {
    fn from_value(value: ValueRef<'_>) -> Result<Self, Mismatch> {
        Ok(match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Real(number) => Self::Real(number),
            ValueRef::Text(text) => Self::Text(text.to_owned()),
            ValueRef::Octets(octets) => Self::Octets(octets.to_owned()),
            ValueRef::Numbers(_) | ValueRef::Texts(_) => {
                return Err(Mismatch::Type(value.type_name()));
            }
        })
    }
}

impl IntoValue for ValueRef<'_> {
    fn to_value(&self) -> ValueRef<'_> {
        *self
    }
}

impl<T: IntoValue + ?Sized> IntoValue for &T {
    fn to_value(&self) -> ValueRef<'_> {
        (**self).to_value()
    }
}

impl<T: IntoValue> IntoValue for Option<T> {
    fn to_value(&self) -> ValueRef<'_> {
        self.as_ref().map_or(ValueRef::Null, T::to_value)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: ValueRef<'_>) -> Result<Self, Mismatch> {
        match value {
            ValueRef::Null => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

/// Integers that fit into 64 bits with a sign: written as they are, read if they are in range.
macro_rules! integer_values {
    ($($number:ty),*) => {$(
        impl IntoValue for $number {
            fn to_value(&self) -> ValueRef<'_> {
                ValueRef::Integer((*self).into())
            }
        }

        impl FromValue for $number {
            fn from_value(value: ValueRef<'_>) -> Result<Self, Mismatch> {
                let number = i64::from_value(value)?;
                number.try_into().map_err(|_| Mismatch::Range(number))
            }
        }
    )*};
}

integer_values!(i32, u8, u16, u32);

impl IntoValue for i64 {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Integer(*self)
    }
}

impl FromValue for i64 {
    fn from_value(value: ValueRef<'_>) -> Result<Self, Mismatch> {
        match value {
            ValueRef::Integer(number) => Ok(number),
            other => Err(Mismatch::Type(other.type_name())),
        }
    }
}

impl IntoValue for bool {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Integer((*self).into())
    }
}

impl FromValue for bool {
    fn from_value(value: ValueRef<'_>) -> Result<Self, Mismatch> {
        i64::from_value(value).map(|number| number != 0)
    }
}

impl IntoValue for f64 {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Real(*self)
    }
}

impl FromValue for f64 {
    fn from_value(value: ValueRef<'_>) -> Result<Self, Mismatch> {
        match value {
            ValueRef::Real(number) => Ok(number),
            ValueRef::Integer(number) => Ok(number as Self),
            other => Err(Mismatch::Type(other.type_name())),
        }
    }
}

impl IntoValue for str {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Text(self)
    }
}

impl IntoValue for String {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Text(self)
    }
}

impl FromValue for String {
    fn from_value(value: ValueRef<'_>) -> Result<Self, Mismatch> {
        match value {
            ValueRef::Text(text) => Ok(text.to_owned()),
            other => Err(Mismatch::Type(other.type_name())),
        }
    }
}

impl IntoValue for Cow<'_, str> {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Text(self)
    }
}

impl IntoValue for [u8] {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Octets(self)
    }
}

impl IntoValue for Vec<u8> {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Octets(self)
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: ValueRef<'_>) -> Result<Self, Mismatch> {
        match value {
            ValueRef::Octets(octets) => Ok(octets.to_owned()),
            other => Err(Mismatch::Type(other.type_name())),
        }
    }
}

impl<const N: usize> IntoValue for [u8; N] {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Octets(self)
    }
}

impl<const N: usize> FromValue for [u8; N] {
    fn from_value(value: ValueRef<'_>) -> Result<Self, Mismatch> {
        match value {
            ValueRef::Octets(octets) => octets
                .try_into()
                .map_err(|_| Mismatch::Length(octets.len())),
            other => Err(Mismatch::Type(other.type_name())),
        }
    }
}

/// Numbers of rows.
macro_rules! key_values {
    ($($key:ident),*) => {$(
        impl IntoValue for $key {
            fn to_value(&self) -> ValueRef<'_> {
                ValueRef::Integer(self.0)
            }
        }

        impl FromValue for $key {
            fn from_value(value: ValueRef<'_>) -> Result<Self, Mismatch> {
                i64::from_value(value).map(Self)
            }
        }
    )*};
}

key_values!(ZoneId, SourceId);

impl IntoValue for Serial {
    fn to_value(&self) -> ValueRef<'_> {
        self.0.to_value()
    }
}

impl FromValue for Serial {
    fn from_value(value: ValueRef<'_>) -> Result<Self, Mismatch> {
        u32::from_value(value).map(Self)
    }
}

impl IntoValue for Hash {
    fn to_value(&self) -> ValueRef<'_> {
        self.0.to_value()
    }
}

impl FromValue for Hash {
    fn from_value(value: ValueRef<'_>) -> Result<Self, Mismatch> {
        FromValue::from_value(value).map(Self)
    }
}

impl IntoValue for Timestamp {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Integer(self.unix())
    }
}

impl FromValue for Timestamp {
    fn from_value(value: ValueRef<'_>) -> Result<Self, Mismatch> {
        i64::from_value(value).map(Self::from_unix)
    }
}

/// Enums that stand in the database as words, each with what a word is that is none of them.
macro_rules! word_values {
    ($($word:ident is $what:literal),* $(,)?) => {$(
        impl $crate::store::value::IntoValue for $word {
            fn to_value(&self) -> $crate::store::value::ValueRef<'_> {
                $crate::store::value::ValueRef::Text(self.word())
            }
        }

        impl $crate::store::value::FromValue for $word {
            fn from_value(
                value: $crate::store::value::ValueRef<'_>,
            ) -> Result<Self, $crate::store::value::Mismatch> {
                $crate::store::value::read_word(value, $what, Self::parse)
            }
        }
    )*};
}

/// Reads a word of some kind.
pub(super) fn read_word<T>(
    value: ValueRef<'_>,
    what: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, Mismatch> {
    match value {
        ValueRef::Text(word) => parse(word).ok_or_else(|| Mismatch::Word(what, word.to_owned())),
        other => Err(Mismatch::Type(other.type_name())),
    }
}

word_values!(
    CaseState is "case state",
    DismissReason is "reason",
    Level is "level",
    SourceKind is "kind of source",
    Verdict is "verdict",
    View is "view",
);

/// The parameters of a statement, in their order.
pub(super) trait Parameters {
    /// Hands over each.
    fn bind(self, bind: &mut impl FnMut(ValueRef<'_>) -> Result<(), Fault>) -> Result<(), Fault>;
}

/// None.
impl Parameters for () {
    fn bind(self, _: &mut impl FnMut(ValueRef<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
        Ok(())
    }
}

/// Of one type.
impl<T: IntoValue, const N: usize> Parameters for [T; N] {
    fn bind(self, bind: &mut impl FnMut(ValueRef<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
        self.iter().try_for_each(|value| bind(value.to_value()))
    }
}

/// Of any types: what [`params!`] makes.
impl Parameters for &[&dyn IntoValue] {
    fn bind(self, bind: &mut impl FnMut(ValueRef<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
        self.iter().try_for_each(|value| bind(value.to_value()))
    }
}

/// As many as there are.
pub(super) struct Each<I>(pub I);

impl<T: IntoValue, I: IntoIterator<Item = T>> Parameters for Each<I> {
    fn bind(self, bind: &mut impl FnMut(ValueRef<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
        self.0
            .into_iter()
            .try_for_each(|value| bind(value.to_value()))
    }
}

/// Makes parameters of values of any types.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$(&$value as &dyn $crate::store::value::IntoValue),*]
            as &[&dyn $crate::store::value::IntoValue]
    };
}
pub(super) use params;
