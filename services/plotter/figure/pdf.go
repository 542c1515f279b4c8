package figure

import (
	"strings"
	"sync"
	"time"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgpdf"
)

// pdfCanvas gives the library text in the encoding of its fonts.
type pdfCanvas struct{ *vgpdf.Canvas }

func newPDF(width, height vg.Length) pdfCanvas {
	fixPDF()
	return pdfCanvas{vgpdf.New(width, height)}
}

// FillString implements vg.Canvas. What Windows-1252 lacks is drawn as "?".
func (c pdfCanvas) FillString(f font.Face, pt vg.Point, text string) {
	const substitute = "\x1a" // of the encoder
	encoded, err := encoding.ReplaceUnsupported(charmap.Windows1252.NewEncoder()).String(text)
	if err != nil {
		encoded = text
	}
	c.Canvas.FillString(f, pt, strings.ReplaceAll(encoded, substitute, "?"))
}

// fixPDF makes the bytes of a PDF depend on nothing but the figure: no date of
// today, no order of a map. The library has these settings for the process only.
var fixPDF = sync.OnceFunc(func() {
	fpdf.SetDefaultCatalogSort(true)
	epoch := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	fpdf.SetDefaultCreationDate(epoch)
	fpdf.SetDefaultModificationDate(epoch)
})
