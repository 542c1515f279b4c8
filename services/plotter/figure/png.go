package figure

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/png"
	"io"
	"math"
)

const pngDPI = 300

// Where the first chunk of a PNG ends: signature, then length, name, data and
// checksum of IHDR.
const endOfHeader = 8 + 4 + 4 + 13 + 4

// writePNG writes the image with its resolution, which the standard library
// leaves out and without which a paper shows the figure four times too large.
func writePNG(w io.Writer, img image.Image) error {
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		return err
	}
	data := buf.Bytes()
	for _, part := range [][]byte{data[:endOfHeader], resolutionChunk(), data[endOfHeader:]} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// resolutionChunk is the chunk pHYs: pixels per metre in x and y.
func resolutionChunk() []byte {
	const inch = 0.0254 // metres
	perMetre := uint32(math.Round(pngDPI / inch))
	chunk := binary.BigEndian.AppendUint32(nil, 9)
	chunk = append(chunk, "pHYs"...)
	chunk = binary.BigEndian.AppendUint32(chunk, perMetre)
	chunk = binary.BigEndian.AppendUint32(chunk, perMetre)
	chunk = append(chunk, 1) // the unit is the metre
	return binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))
}
