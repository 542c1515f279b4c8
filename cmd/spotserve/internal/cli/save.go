package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/spotserve/spotserve/services/plotter"
	"github.com/spotserve/spotserve/services/plotter/figure"
	"github.com/spotserve/spotserve/services/plotter/report"
)

// formats are those that every figure is drawn in.
func formats() []figure.Format { return []figure.Format{figure.PNG, figure.SVG, figure.PDF} }

// save runs tasks that each write one file, as many at once as there are cores.
func save(ctx context.Context, tasks []func() error) error {
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, task := range tasks {
		group.Go(func() error {
			if err := within.Err(); err != nil {
				return err
			}
			return task()
		})
	}
	return group.Wait()
}

// drawings are the files of figures in a folder, and the tasks that write them.
func drawings(folder string, figures []plotter.Figure) (files []string, tasks []func() error) {
	for _, f := range figures {
		for _, format := range formats() {
			file := filepath.Join(folder, f.Name+"."+string(format))
			files = append(files, file)
			tasks = append(tasks, func() error { return f.Save(file) })
		}
	}
	return files, tasks
}

// saveReport writes a report with all its figures into a folder and returns its
// files, the report first.
func saveReport(ctx context.Context, folder string, r *report.Report) ([]string, error) {
	const figures = "figures" // beside the report
	text, page := filepath.Join(folder, "report.md"), filepath.Join(folder, "report.html")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	files, tasks := drawings(filepath.Join(folder, figures), r.Figures())
	tasks = append([]func() error{
		func() error { return writeFile(page, r.HTML) },
		func() error { return writeFile(text, func(w io.Writer) error { return r.Markdown(w, figures) }) },
	}, tasks...)
	return append([]string{text, page}, files...), save(ctx, tasks)
}

// writeFile writes a file that appears whole or not at all.
func writeFile(path string, write func(io.Writer) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	err = errors.Join(write(tmp), tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // the error says enough
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
