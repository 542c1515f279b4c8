package catalog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

const maxLine = 4 << 20 // bytes; a line names each of a fleet's nodes once

// eachLine calls do with every line of r that is not blank. What do or the
// reader complain about comes back with the file's name and line.
func eachLine(name string, r io.Reader, do func(line string) error) error {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLine)
	number, lines := 0, 0
	for scanner.Scan() {
		number++
		line := strings.TrimSpace(scanner.Text())
		if line == "" {
			continue
		}
		lines++
		if err := do(line); err != nil {
			return &FileError{File: name, Line: number, Reason: err.Error()}
		}
	}
	if err := scanner.Err(); errors.Is(err, bufio.ErrTooLong) {
		return &FileError{File: name, Line: number + 1, Reason: fmt.Sprintf("the line is longer than %d bytes", maxLine)}
	} else if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if lines == 0 {
		return &FileError{File: name, Reason: "the file is empty"}
	}
	return nil
}
