package catalog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

// requestsHeader begins a CSV file of requests: that of the public Azure LLM
// inference traces.
const requestsHeader = "TIMESTAMP,ContextTokens,GeneratedTokens"

// maxRequests bounds what is read into memory.
const maxRequests = 10_000_000

// recorded is the contents of an arrivals file.
type recorded struct {
	list    []experiment.Arrival
	outputs bool // the file says how long the answers are
}

// readArrivals reads requests in either format: a file that begins with the
// header is CSV.
func readArrivals(name string, r io.Reader) (recorded, error) {
	buffered := bufio.NewReader(r)
	start, _ := buffered.Peek(len(byteOrderMark) + len("TIMESTAMP")) // a read error comes back below
	if strings.HasPrefix(strings.TrimPrefix(string(start), byteOrderMark), "TIMESTAMP") {
		list, err := ReadRequestsCSV(name, buffered)
		return recorded{list: list, outputs: true}, err
	}
	list, err := ReadArrivals(name, buffered)
	return recorded{list: list}, err
}

const byteOrderMark = "\ufeff" // some spreadsheets write it

// ReadRequestsCSV reads requests with the header of the public Azure LLM
// inference traces, in the order of time:
//
//	TIMESTAMP,ContextTokens,GeneratedTokens
//	2023-11-16 18:15:46.6805900,374,44
//	2023-11-16 18:15:50.9951690,396,109
//
// The first request arrives at 0 and the others as much later as their
// timestamps say. A timestamp has any number of decimals, a blank or a T before
// the hour, and may end in Z or an offset such as +02:00. A prompt or an answer
// of no tokens counts as one. Everything else is refused by a FileError with its
// line.
func ReadRequestsCSV(name string, r io.Reader) ([]experiment.Arrival, error) {
	var list []experiment.Arrival
	var first, last int64
	header := false
	err := eachLine(name, r, func(line string) error {
		if !header {
			header = true
			if got := strings.TrimPrefix(line, byteOrderMark); got != requestsHeader {
				return fmt.Errorf("the header is %q, want %s", shorten(got), requestsHeader)
			}
			return nil
		}
		at, a, err := parseRequest(line)
		switch {
		case err != nil:
			return err
		case len(list) == 0:
			first = at
		case at < last:
			return fmt.Errorf("time runs backwards: this request is %v earlier than the one before", time.Duration(last-at))
		case at-first > int64(maxTrace):
			return fmt.Errorf("the request is %v later than the first, allowed are %v", time.Duration(at-first), time.Duration(maxTrace))
		case len(list) == maxRequests:
			return fmt.Errorf("the file has more than %d requests", maxRequests)
		}
		last, a.At = at, vtime.Time(at-first)
		list = append(list, a)
		return nil
	})
	if err == nil && len(list) == 0 {
		err = &FileError{File: name, Reason: "the file has no request below its header"}
	}
	if err != nil {
		return nil, err
	}
	return list, nil
}

// parseRequest reads one row; at is in nanoseconds since 1970.
func parseRequest(line string) (at int64, a experiment.Arrival, err error) {
	stamp, rest, ok := strings.Cut(line, ",")
	prompt, output, also := strings.Cut(rest, ",")
	if !ok || !also || strings.Contains(output, ",") {
		return 0, a, fmt.Errorf("the row has %d columns, want %s", 1+strings.Count(line, ","), requestsHeader)
	}
	if at, err = parseTimestamp(stamp); err != nil {
		return 0, a, fmt.Errorf("the timestamp %q is none: %w", shorten(stamp), err)
	}
	if a.PromptTokens, err = parseTokens("ContextTokens", prompt); err != nil {
		return 0, a, err
	}
	a.OutputTokens, err = parseTokens("GeneratedTokens", output)
	return at, a, err
}

func parseTokens(column, text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxTokens {
		return 0, fmt.Errorf("%s is %q, allowed is a whole number of 0 to %d", column, shorten(text), maxTokens)
	}
	return max(1, n), nil
}

var errTimestamp = errors.New("want a time like 2023-11-16 18:15:46.6805900, with or without an offset")

// parseTimestamp returns nanoseconds since 1970. time.Parse takes neither seven
// decimals nor either separator, and is slow for a million rows.
func parseTimestamp(s string) (int64, error) {
	const shape = "0000-00-00 00:00:00"
	if len(s) < len(shape) {
		return 0, errTimestamp
	}
	for i, want := range []byte(shape) {
		got := s[i]
		isDigit := got >= '0' && got <= '9'
		if want == '0' && !isDigit || want != '0' && got != want && !(want == ' ' && got == 'T') {
			return 0, errTimestamp
		}
	}
	number := func(from, to int) int {
		n := 0
		for _, c := range []byte(s[from:to]) {
			n = 10*n + int(c-'0')
		}
		return n
	}
	year, month, day := number(0, 4), number(5, 7), number(8, 10)
	hour, minute, second := number(11, 13), number(14, 16), number(17, 19)
	date := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	if date.Month() != time.Month(month) || date.Day() != day || hour > 23 || minute > 59 || second > 59 {
		return 0, errors.New("there is no such day or time")
	}
	if year < 1970 || year > 2200 {
		return 0, errors.New("the year has to be in 1970 to 2200")
	}
	rest, nanoseconds := s[len(shape):], int64(0)
	if strings.HasPrefix(rest, ".") {
		digits := 1
		for scale := int64(1e8); digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9'; digits++ {
			nanoseconds += int64(rest[digits]-'0') * scale
			scale /= 10
		}
		if digits == 1 {
			return 0, errTimestamp
		}
		rest = rest[digits:]
	}
	offset, err := parseOffset(rest)
	return (date.Unix()-offset)*1e9 + nanoseconds, err
}

// parseOffset returns the seconds that a zone is ahead of UTC.
func parseOffset(s string) (int64, error) {
	if s == "" || s == "Z" {
		return 0, nil
	}
	digits := strings.Replace(s[1:], ":", "", 1)
	n, err := strconv.ParseUint(digits, 10, 16)
	if s[0] != '+' && s[0] != '-' || err != nil || len(digits) != 4 || n%100 > 59 || n > 1800 {
		return 0, errTimestamp
	}
	seconds := int64(n/100)*3600 + int64(n%100)*60
	if s[0] == '-' {
		seconds = -seconds
	}
	return seconds, nil
}
