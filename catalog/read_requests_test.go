package catalog

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

const smallRequests = `TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 23:59:59.6805900,374,44
2023-11-17 00:00:00.6805901,396,109

2023-11-17T02:00:01.25+02:00,1,0
2023-11-17T00:00:02Z,0,7
2023-11-16 19:30:03-0430,8,7
`

func TestReadRequestsCSV(t *testing.T) {
	for _, text := range []string{smallRequests, byteOrderMark + strings.ReplaceAll(smallRequests, "\n", "\r\n")} {
		got, err := readArrivals("t", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		want := []experiment.Arrival{
			{At: 0, PromptTokens: 374, OutputTokens: 44},
			{At: vtime.Time(time.Second + 100*time.Nanosecond), PromptTokens: 396, OutputTokens: 109},
			{At: vtime.Seconds(1.56941), PromptTokens: 1, OutputTokens: 1},
			{At: vtime.Seconds(2.31941), PromptTokens: 1, OutputTokens: 7},
			{At: vtime.Seconds(3.31941), PromptTokens: 8, OutputTokens: 7},
		}
		if !slices.Equal(got.list, want) || !got.outputs {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
	artifact, err := readArrivals("t", strings.NewReader("0,1.5,100,0\n"))
	if err != nil || artifact.outputs || len(artifact.list) != 1 {
		t.Errorf("the artifact's format: got %+v, %v", artifact, err)
	}
}

func TestParseTimestamp(t *testing.T) {
	for text, want := range map[string]string{
		"2023-11-16 18:15:46":                   "2023-11-16T18:15:46Z",
		"2024-02-29T18:15:46.5":                 "2024-02-29T18:15:46.5Z",
		"2023-11-16 18:15:46.680590099999":      "2023-11-16T18:15:46.680590099Z",
		"2023-11-16 18:15:46.123456789+00:00":   "2023-11-16T18:15:46.123456789Z",
		"2023-11-16 18:15:46.1-11:30":           "2023-11-17T05:45:46.1Z",
		"1970-01-01 00:00:00.0000001":           "1970-01-01T00:00:00.0000001Z",
		"2023-11-16 18:15:46.000000000000000Z":  "2023-11-16T18:15:46Z",
		"2023-11-16T18:15:46.6805900000 +02:00": "",
		"2023-11-16 24:00:00":                   "",
		"2023-02-29 00:00:00":                   "",
		"2023-13-01 00:00:00":                   "",
		"2023-00-01 00:00:00":                   "",
		"2023-11-16 18:60:00":                   "",
		"2023-11-16 18:00:60":                   "",
		"2023-11-16 18:15:46.":                  "",
		"2023-11-16 18:15:46.5x":                "",
		"2023-11-16 18:15:46+2":                 "",
		"2023-11-16 18:15:46+02:60":             "",
		"2023-11-16 18:15:46+1900":              "",
		"2023-11-16 18:15:46*0200":              "",
		"2023-11-16 18:15":                      "",
		"0001-01-01 00:00:00":                   "",
		"9999-01-01 00:00:00":                   "",
		"16.11.2023 18:15:46.5":                 "",
		"":                                      "",
	} {
		got, err := parseTimestamp(text)
		if want == "" {
			if err == nil {
				t.Errorf("%q is taken for %v", text, got)
			}
			continue
		}
		if at, _ := time.Parse(time.RFC3339Nano, want); err != nil || got != at.UnixNano() {
			t.Errorf("%q is %v, error %v, want %v", text, time.Unix(0, got).UTC(), err, want)
		}
	}
}

func TestReadRequestsCSVRefuses(t *testing.T) {
	const header = requestsHeader + "\n"
	tests := []struct{ name, text, want string }{
		{"empty file", "", "t: the file is empty"},
		{"header alone", header, "t: the file has no request below its header"},
		{"other header", "TIMESTAMP,Context,Generated\n", `t:1: the header is "TIMESTAMP,Context,Generated", want TIMESTAMP,ContextTokens,GeneratedTokens`},
		{"two columns", header + "2023-11-16 18:15:46,1", "t:2: the row has 2 columns, want"},
		{"four columns", header + "2023-11-16 18:15:46,1,2,3", "t:2: the row has 4 columns, want"},
		{"timestamp", header + "noon,1,2", `t:2: the timestamp "noon" is none: want a time like`},
		{"no such day", header + "2023-02-30 18:15:46,1,2", `t:2: the timestamp "2023-02-30 18:15:46" is none: there is no such day`},
		{"time running backwards", header + "2023-11-16 18:15:46,1,2\n2023-11-16 18:15:45.5,1,2", "t:3: time runs backwards: this request is 500ms earlier"},
		{"late request", header + "2023-11-16 18:15:46,1,2\n2024-11-16 18:15:46,1,2", "t:3: the request is 8784h0m0s later than the first, allowed are 744h0m0s"},
		{"negative prompt", header + "2023-11-16 18:15:46,-1,2", `t:2: ContextTokens is "-1", allowed is a whole number of 0 to 1048576`},
		{"broken answer", header + "2023-11-16 18:15:46,1,2.5", `t:2: GeneratedTokens is "2.5", allowed`},
		{"endless answer", header + "2023-11-16 18:15:46,1,1048577", `t:2: GeneratedTokens is "1048577", allowed`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ReadRequestsCSV("t", strings.NewReader(tt.text))
			wantFileError(t, err, tt.want)
		})
	}
}

// requestsText is a day of so many requests.
func requestsText(n int) string {
	var b strings.Builder
	b.WriteString(requestsHeader + "\n")
	start := time.Date(2023, 11, 16, 0, 0, 0, 0, time.UTC)
	for i := range n {
		at := start.Add(time.Duration(i) * (24 * time.Hour / time.Duration(n)))
		fmt.Fprintf(&b, "%s,%d,%d\n", at.Format("2006-01-02 15:04:05.0000000"), 1+i%4000, 1+i%500)
	}
	return b.String()
}

func BenchmarkReadRequestsCSV(b *testing.B) {
	text := requestsText(1_000_000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		list, err := ReadRequestsCSV("t", strings.NewReader(text))
		if err != nil || len(list) != 1_000_000 {
			b.Fatal(len(list), err)
		}
	}
}
