package figure

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestSave(t *testing.T) {
	magic := map[string]string{"png": "\x89PNG", "SVG": "<?xml", "pdf": "%PDF-"}
	folder := filepath.Join(t.TempDir(), "new", "figures")
	for ext, want := range magic {
		path := filepath.Join(folder, "e2e."+ext)
		if err := Save(path, tails()["one-approach"]); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(data, []byte(want)) {
			t.Errorf("%s: got %.8q, %v", path, data, err)
		}
	}
	expectFiles(t, folder, len(magic))
}

func TestSaveRefusesOtherFormats(t *testing.T) {
	folder := t.TempDir()
	for name, want := range map[string]string{
		"e2e.bmp": `e2e.bmp: figure format "bmp": allowed are png, svg and pdf`,
		"e2e":     `e2e: figure format "": allowed are png, svg and pdf`,
	} {
		path := filepath.Join(folder, name)
		err := Save(path, tails()["one-approach"])
		if want := folder + string(filepath.Separator) + want; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	expectFiles(t, folder, 0)
}

func TestSaveThatFailsKeepsTheOldFile(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "e2e.svg")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	bad := Tail{Series: []TailSeries{{Label: "SpotServe", Seeds: []Latencies{{math.NaN()}}}}}
	if err := Save(path, bad); err == nil {
		t.Error("saved")
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "old" {
		t.Errorf("got %q, %v", data, err)
	}
	expectFiles(t, folder, 1)
}

// expectFiles fails if the folder has another number of files, temporary ones
// included.
func expectFiles(t *testing.T, folder string, want int) {
	t.Helper()
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != want {
		t.Errorf("got %v, %v, want %d files", files, err, want)
	}
}
