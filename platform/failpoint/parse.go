package failpoint

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

func parse(text string) (points, error) {
	out := make(points)
	for part := range strings.SplitSeq(text, ";") {
		place, actions, _ := strings.Cut(part, "=")
		place = strings.TrimSpace(place)
		delivers, known := places[place]
		if !known {
			return nil, fmt.Errorf("%q is no place: allowed are %s, %s, %s and %s", place, Publish, Elected, Stored, Receive)
		}
		if out[place] != nil {
			return nil, fmt.Errorf("%s is there twice", place)
		}
		p := &point{name: place}
		for text := range strings.SplitSeq(actions, ",") {
			if err := p.parse(strings.TrimSpace(text), delivers); err != nil {
				return nil, fmt.Errorf("%s: %q: %w", place, text, err)
			}
		}
		out[place] = p
	}
	return out, nil
}

func (p *point) parse(text string, delivers bool) (err error) {
	if seed, ok := strings.CutPrefix(text, "seed="); ok {
		p.seed, err = strconv.ParseUint(seed, 10, 64)
		return err
	}
	body, at, hasAt := strings.Cut(text, "@")
	do, rest, _ := strings.Cut(body, ":")
	a := action{do: do}
	allowed := "kill@N or stop:DURATION@N"
	if delivers {
		allowed = "duplicate:P or late:DURATION:P"
	}
	wrong := fmt.Errorf("want %s, or seed=N", allowed)
	if hasAt == delivers {
		return wrong
	}
	if hasAt {
		if a.at, err = strconv.ParseUint(at, 10, 64); err != nil || a.at == 0 {
			return fmt.Errorf("%w, with N of 1 or more", wrong)
		}
	}
	switch {
	case do == "kill" && !delivers && rest == "":
	case do == "stop" && !delivers:
		a.wait, err = time.ParseDuration(rest)
	case do == "duplicate" && delivers:
		a.share, err = share(rest)
	case do == "late" && delivers:
		wait, probability, _ := strings.Cut(rest, ":")
		if a.wait, err = time.ParseDuration(wait); err == nil {
			a.share, err = share(probability)
		}
	default:
		return wrong
	}
	if err != nil {
		return fmt.Errorf("%w: %w", wrong, err)
	}
	p.actions = append(p.actions, a)
	return nil
}

func share(text string) (float64, error) {
	p, err := strconv.ParseFloat(text, 64)
	if err == nil && !(p >= 0 && p <= 1) {
		err = fmt.Errorf("%q is no probability from 0 to 1", text)
	}
	return p, err
}
