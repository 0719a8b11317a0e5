//! Tensors of a `model.safetensors`, each checked for its shape and for numbers that are none.

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::BertError;

/// The tensors of a file.
pub(crate) struct Weights<'a> {
    tensors: SafeTensors<'a>,
}

impl<'a> Weights<'a> {
    /// Reads the table of tensors in front of the file.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BertError> {
        if bytes.starts_with(b"version https://git-lfs") {
            return Err(BertError::new("is a pointer of Git LFS, not the weights: run `git lfs pull` in the folder"));
        }
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| {
            BertError::new(format!("is no safetensors file, or an incomplete one ({error}): download it again"))
        })?;
        Ok(Self { tensors })
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    /// The tensor `name` in single precision, row by row.
    ///
    /// # Errors
    /// Where it is missing, of another shape than `shape`, not of floats, or holds a NaN or an infinity.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, BertError> {
        let view = self.view(name)?;
        if view.shape() != shape {
            return Err(BertError::new(format!(
                "holds {name} of the shape {:?}, and config.json says {shape:?}: take both files from one model",
                view.shape()
            )));
        }
        let numbers = floats(name, &view)?;
        match numbers.iter().position(|x| !x.is_finite()) {
            Some(at) => Err(BertError::new(format!(
                "holds {name} with {} at position {at}: the file is damaged or its training diverged; take another",
                numbers[at]
            ))),
            None => Ok(numbers),
        }
    }

    /// The number of rows of the matrix `name`, which has `columns` columns.
    pub fn rows(&self, name: &str, columns: usize) -> Result<usize, BertError> {
        match *self.view(name)?.shape() {
            [rows, width] if width == columns && rows > 0 => Ok(rows),
            ref other => Err(BertError::new(format!(
                "holds {name} of the shape {other:?}, and config.json says [labels, {columns}]: take both files from one model"
            ))),
        }
    }

    fn view(&self, name: &str) -> Result<TensorView<'_>, BertError> {
        self.tensors.tensor(name).map_err(|_| {
            BertError::new(format!(
                "holds no tensor {name}: it is of another kind of model than config.json says, or has no such head"
            ))
        })
    }
}

fn floats(name: &str, view: &TensorView<'_>) -> Result<Vec<f32>, BertError> {
    let bytes = view.data();
    match view.dtype() {
        Dtype::F32 => Ok(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()),
        // A bfloat16 is the upper half of a float.
        Dtype::BF16 => Ok(bytes.as_chunks().0.iter().map(|&b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)).collect()),
        Dtype::F16 => Ok(bytes.as_chunks().0.iter().map(|&b| half(u16::from_le_bytes(b))).collect()),
        other => Err(BertError::new(format!("holds {name} as {other:?}: F32, F16 and BF16 can be run"))),
    }
}

/// An IEEE 754 binary16: 1 sign, 5 exponent, 10 mantissa bits.
fn half(bits: u16) -> f32 {
    let (sign, exponent, mantissa) = (u32::from(bits >> 15) << 31, u32::from(bits >> 10) & 0x1f, u32::from(bits) & 0x3ff);
    match exponent {
        // Subnormal: the mantissa in units of 2^-24.
        0 => f32::from_bits(sign | (mantissa as f32 / 16_777_216.0).to_bits()),
        0x1f => f32::from_bits(sign | 0x7f80_0000 | (mantissa << 13)),
        _ => f32::from_bits(sign | ((exponent + 112) << 23) | (mantissa << 13)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_floats_are_read_as_ieee_says() {
        // Values of the standard's encoding.
        let cases = [
            (0x0000, 0.0),
            (0x8000, -0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x3555, 0.333_251_95),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
        ];
        for (bits, value) in cases {
            assert_eq!(half(bits).to_bits(), f32::to_bits(value), "{bits:#06x}");
        }
        assert!(half(0x7e00).is_nan() && half(0x7c00) == f32::INFINITY && half(0xfc00) == f32::NEG_INFINITY);
    }
}
