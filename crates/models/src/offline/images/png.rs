//! Writing PNG files.

use std::io::Write as _;

use flate2::{Compression, Crc, write::ZlibEncoder};

/// Returns a PNG file of these pixels: three bytes each, row by row.
pub(super) fn encode(width: u32, height: u32, pixels: &[u8]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let depth_and_colour = [8, 2, 0, 0, 0];
    chunk(&mut file, b"IHDR", &[&width.to_be_bytes()[..], &height.to_be_bytes(), &depth_and_colour].concat());
    chunk(&mut file, b"IDAT", &compress(width, pixels));
    chunk(&mut file, b"IEND", &[]);
    file
}

fn compress(width: u32, pixels: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    for row in pixels.chunks(width as usize * 3) {
        // Each row begins with the filter that it went through: none.
        encoder.write_all(&[0]).and_then(|()| encoder.write_all(row)).expect("writing to memory never fails");
    }
    encoder.finish().expect("writing to memory never fails")
}

fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    let length = u32::try_from(data.len()).expect("an image has less than 4 GiB");
    file.extend_from_slice(&length.to_be_bytes());
    file.extend_from_slice(kind);
    file.extend_from_slice(data);
    file.extend_from_slice(&crc.sum().to_be_bytes());
}
