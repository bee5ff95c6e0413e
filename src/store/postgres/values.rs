//! Values of our own as PostgreSQL sends them.
//!
//! A column of SQLite's type `any` (the data of a record, a value under a name) is `varbit` here, the one type that
//! orders as SQLite does and has room to say what it holds: octets are so many whole octets, a text has one bit after
//! its octets, a number below 2^31 is 31 bits, any other number is 66 bits.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};

use crate::store::value::{Value, ValueRef};

/// What goes wrong with a value, for tokio-postgres.
type Fault = Box<dyn Error + Sync + Send>;

/// Bits of a number below 2^31.
const NUMBER_BITS: i32 = 31;
/// Bits of any other number: 64, and two that no other value has over.
const LONG_NUMBER_BITS: i32 = 66;

/// A parameter that is sent.
#[derive(Debug, PartialEq)]
pub(super) enum Sent {
    One(Value),
    Numbers(Vec<i64>),
    Texts(Vec<String>),
}

impl Sent {
    /// Returns how many octets it has beside its own, about.
    pub(super) fn octets(&self) -> usize {
        match self {
            Self::One(Value::Text(text)) => text.len(),
            Self::One(Value::Octets(octets)) => octets.len(),
            Self::One(_) => 0,
            Self::Numbers(numbers) => size_of_val(&numbers[..]),
            Self::Texts(texts) => texts.iter().map(String::len).sum(),
        }
    }
}

impl From<ValueRef<'_>> for Sent {
    fn from(value: ValueRef<'_>) -> Self {
        Self::One(match value {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Integer(number),
            ValueRef::Real(number) => Value::Real(number),
            ValueRef::Text(text) => Value::Text(text.to_owned()),
            ValueRef::Octets(octets) => Value::Octets(octets.to_owned()),
            ValueRef::Numbers(numbers) => return Self::Numbers(numbers.to_owned()),
            ValueRef::Texts(texts) => return Self::Texts(texts.to_owned()),
        })
    }
}

impl ToSql for Sent {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Fault> {
        match self {
            Self::One(value) => Element(value.into()).to_sql(ty, out),
            Self::Numbers(numbers) => numbers.to_sql(ty, out),
            Self::Texts(texts) => texts.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A value of a column, sent alone or in a set.
#[derive(Debug)]
pub(super) struct Element<'a>(pub ValueRef<'a>);

impl ToSql for Element<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Fault> {
        match (self.0, ty) {
            (ValueRef::Null, _) => return Ok(IsNull::Yes),
            (ValueRef::Integer(number), ty) => put_number(number, ty, out)?,
            (ValueRef::Real(number), &Type::FLOAT4) => out.put_f32(number as f32),
            (ValueRef::Real(number), &Type::FLOAT8) => out.put_f64(number),
            (ValueRef::Text(text), &Type::VARBIT) => {
                put_bits(text.as_bytes(), 8 * length(text.as_bytes())? + 1, out);
                out.put_u8(0);
            }
            (ValueRef::Octets(octets), &Type::VARBIT) => put_bits(octets, 8 * length(octets)?, out),
            // A text of PostgreSQL cannot hold the character NUL.
            (ValueRef::Text(text), ty) if is_text(ty) && text.contains('\0') => {
                out.put_slice(text.replace('\0', "\u{fffd}").as_bytes());
            }
            (ValueRef::Text(text), ty) if is_text(ty) => out.put_slice(text.as_bytes()),
            (ValueRef::Octets(octets), &Type::BYTEA) => out.put_slice(octets),
            (value, ty) => {
                let name = value.type_name();
                return Err(format!("a value of type {name} where {ty} is wanted").into());
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Returns whether a type is text.
fn is_text(ty: &Type) -> bool {
    matches!(
        *ty,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN
    )
}

/// Returns the length of octets as the protocol counts it.
fn length(octets: &[u8]) -> Result<i32, Fault> {
    // Eight bits an octet must fit too.
    let length = i32::try_from(octets.len()).ok();
    let fit = length.filter(|length| *length < i32::MAX / 8 - 1);
    fit.ok_or_else(|| "a value of more than 256 MiB".into())
}

/// Writes octets of a `varbit` of so many bits.
fn put_bits(octets: &[u8], bits: i32, out: &mut BytesMut) {
    out.put_i32(bits);
    out.put_slice(octets);
}

/// Writes a number as the type that is wanted.
fn put_number(number: i64, ty: &Type, out: &mut BytesMut) -> Result<(), Fault> {
    let too_large = || Fault::from(format!("{number} is out of the range of {ty}"));
    match *ty {
        Type::INT8 => out.put_i64(number),
        Type::INT4 => out.put_i32(number.try_into().map_err(|_| too_large())?),
        Type::INT2 => out.put_i16(number.try_into().map_err(|_| too_large())?),
        Type::BOOL => out.put_u8((number != 0).into()),
        Type::FLOAT4 => out.put_f32(number as f32),
        Type::FLOAT8 => out.put_f64(number as f64),
        Type::NUMERIC => put_numeric(number, out),
        Type::VARBIT => match u32::try_from(number)
            .ok()
            .filter(|it| *it < 1 << NUMBER_BITS)
        {
            Some(number) => put_bits(&(number << 1).to_be_bytes(), NUMBER_BITS, out),
            None => {
                put_bits(&number.to_be_bytes(), LONG_NUMBER_BITS, out);
                out.put_u8(0);
            }
        },
        _ if is_text(ty) => out.put_slice(number.to_string().as_bytes()),
        _ => return Err(format!("a number where {ty} is wanted").into()),
    }
    Ok(())
}

/// Writes a number as `numeric`: its digits to the base 10,000.
fn put_numeric(number: i64, out: &mut BytesMut) {
    let (mut digits, mut rest) = (Vec::new(), number.unsigned_abs());
    while rest > 0 {
        digits.push((rest % 10_000) as i16);
        rest /= 10_000;
    }
    // At most five digits.
    let count = digits.len() as i16;
    out.put_i16(count);
    out.put_i16((count - 1).max(0));
    out.put_u16(if number < 0 { 0x4000 } else { 0 });
    out.put_i16(0);
    for digit in digits.iter().rev() {
        out.put_i16(*digit);
    }
}

/// A value of a column, as the server sends it.
pub(super) struct Read<'a>(pub ValueRef<'a>);

impl<'a> FromSql<'a> for Read<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Fault> {
        Ok(Self(match *ty {
            Type::BOOL => ValueRef::Integer((octets::<1>(raw)? != [0]).into()),
            Type::INT2 => ValueRef::Integer(i16::from_be_bytes(octets(raw)?).into()),
            Type::INT4 => ValueRef::Integer(i32::from_be_bytes(octets(raw)?).into()),
            Type::INT8 => ValueRef::Integer(i64::from_be_bytes(octets(raw)?)),
            Type::FLOAT4 => ValueRef::Real(f32::from_be_bytes(octets(raw)?).into()),
            Type::FLOAT8 => ValueRef::Real(f64::from_be_bytes(octets(raw)?)),
            Type::NUMERIC => read_numeric(raw)?,
            Type::VARBIT => read_bits(raw)?,
            Type::BYTEA => ValueRef::Octets(raw),
            Type::VOID => ValueRef::Null,
            _ if is_text(ty) => ValueRef::Text(std::str::from_utf8(raw)?),
            _ => return Err(format!("a column of type {ty}").into()),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Fault> {
        Ok(Self(ValueRef::Null))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(ty.kind(), Kind::Simple | Kind::Pseudo)
    }
}

/// Returns octets of a fixed number.
fn octets<const N: usize>(raw: &[u8]) -> Result<[u8; N], Fault> {
    let length = raw.len();
    raw.try_into()
        .map_err(|_| format!("{length} bytes of a value where {N} are wanted").into())
}

/// Reads a `varbit`.
fn read_bits(raw: &[u8]) -> Result<ValueRef<'_>, Fault> {
    let (bits, rest) = raw
        .split_at_checked(4)
        .ok_or("a bit string without a length")?;
    let bits = i32::from_be_bytes(octets(bits)?);
    Ok(match bits {
        NUMBER_BITS => ValueRef::Integer((u32::from_be_bytes(octets(rest)?) >> 1).into()),
        LONG_NUMBER_BITS => {
            let number = rest.first_chunk().ok_or("a short number")?;
            ValueRef::Integer(i64::from_be_bytes(*number))
        }
        bits if bits % 8 == 0 => ValueRef::Octets(rest),
        bits if bits % 8 == 1 => {
            let text = rest.split_last().ok_or("a text without its mark")?.1;
            ValueRef::Text(std::str::from_utf8(text)?)
        }
        bits => return Err(format!("{bits} bits, which this program does not write").into()),
    })
}

/// Reads a `numeric`: a sum or a mean.
fn read_numeric(raw: &[u8]) -> Result<ValueRef<'static>, Fault> {
    let mut parts = raw
        .chunks_exact(2)
        .map(|it| i16::from_be_bytes([it[0], it[1]]));
    let mut next = || parts.next().ok_or("a short number");
    let (count, weight, sign, _scale) = (next()?, next()?, next()?, next()?);
    let digits: Vec<i16> = parts.take(count.try_into()?).collect();
    let factor = if sign == 0 { 1 } else { -1 };
    let is_whole = i32::from(count) <= i32::from(weight) + 1;
    if is_whole {
        let missing = (i32::from(weight) + 1 - i32::from(count)).try_into()?;
        let zeros = std::iter::repeat_n(0, missing);
        let number = digits
            .iter()
            .copied()
            .chain(zeros)
            .try_fold(0_i64, |sum, digit| {
                sum.checked_mul(10_000)?.checked_add(digit.into())
            });
        return Ok(ValueRef::Integer(
            factor * number.ok_or("a number of more than 64 bits")?,
        ));
    }
    let value = digits.iter().enumerate().map(|(place, digit)| {
        let exponent = i32::from(weight) - place as i32;
        f64::from(*digit) * 10_000_f64.powi(exponent)
    });
    Ok(ValueRef::Real(factor as f64 * value.sum::<f64>()))
}
