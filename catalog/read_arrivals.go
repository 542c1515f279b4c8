package catalog

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

// ReadArrivals reads request arrivals in the artifact's format, one a line:
//
//	0,2.937844460333155,512,0
//	1,5.917635005418527,512,2966
//
// The columns are the request's number, its time in seconds, its prompt's
// tokens and an offset into the artifact's own prompts, which is not used.
// OutputTokens stays 0: the format does not say. Everything else is refused by
// a FileError with its line.
func ReadArrivals(name string, r io.Reader) ([]experiment.Arrival, error) {
	var arrivals []experiment.Arrival
	var last vtime.Time
	err := eachLine(name, r, func(line string) error {
		arrival, err := parseArrival(line)
		if err != nil {
			return err
		}
		if arrival.At < last {
			return fmt.Errorf("time runs backwards: %v after %v", arrival.At, last)
		}
		last = arrival.At
		arrivals = append(arrivals, arrival)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return arrivals, nil
}

func parseArrival(line string) (experiment.Arrival, error) {
	columns := strings.Split(line, ",")
	if len(columns) != 4 {
		return experiment.Arrival{}, fmt.Errorf("the line has %d columns, want id,seconds,prompt_tokens,offset", len(columns))
	}
	if _, err := strconv.ParseUint(columns[0], 10, 64); err != nil {
		return experiment.Arrival{}, fmt.Errorf("the id %q is not a whole number from 0", columns[0])
	}
	seconds, err := strconv.ParseFloat(columns[1], 64)
	if err != nil {
		return experiment.Arrival{}, fmt.Errorf("the time %q is not a number of seconds", columns[1])
	}
	at, err := instant(seconds)
	if err != nil {
		return experiment.Arrival{}, err
	}
	tokens, err := strconv.Atoi(columns[2])
	if err != nil || tokens < 1 || tokens > maxTokens {
		return experiment.Arrival{}, fmt.Errorf("the prompt's tokens are %q, allowed is a whole number of 1 to %d", columns[2], maxTokens)
	}
	return experiment.Arrival{At: at, PromptTokens: tokens}, nil
}
