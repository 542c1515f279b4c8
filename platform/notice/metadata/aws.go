package metadata

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/spotserve/spotserve/platform/notice"
	"github.com/spotserve/spotserve/platform/notice/internal/watch"
)

// The addresses and paths of EC2's instance metadata service, version 2.
const (
	awsBase      = "http://169.254.169.254"
	awsToken     = "/latest/api/token"
	awsAction    = "/latest/meta-data/spot/instance-action"
	awsRebalance = "/latest/meta-data/events/recommendations/rebalance"
)

const (
	awsPoll = 5 * time.Second // as EC2's manual recommends
	awsTTL  = 6 * time.Hour   // of a token; the longest there is
)

type aws struct {
	Options
	client
	token   string
	expires time.Time
}

// AWS watches EC2's metadata service: the interruption notice of a spot
// instance, two minutes ahead, and the rebalance recommendation, which may come
// earlier. EC2 never takes an interruption back.
func AWS(o Options) notice.Source {
	if o.Poll == 0 {
		o.Poll = awsPoll
	}
	return &aws{Options: o, client: newClient(o, awsBase)}
}

// String implements notice.Source.
func (a *aws) String() string { return "aws" }

// Watch implements notice.Source.
func (a *aws) Watch(ctx context.Context, emit func(notice.Notice)) error {
	watch.Every(ctx, a.Poll, a.Log.With("source", a.String()), func(ctx context.Context) error {
		if err := a.action(ctx, emit); err != nil {
			return err
		}
		return a.rebalance(ctx, emit)
	})
	return nil
}

// action asks for the interruption notice.
func (a *aws) action(ctx context.Context, emit func(notice.Notice)) error {
	var action struct {
		Action string    `json:"action"`
		Time   time.Time `json:"time"`
	}
	there, err := a.get(ctx, awsAction, &action, func() error {
		switch action.Action {
		case "terminate", "stop", "hibernate":
		default:
			return fmt.Errorf("action is %q: known are terminate, stop and hibernate", action.Action)
		}
		if action.Time.IsZero() {
			return fmt.Errorf("time is missing")
		}
		return nil
	})
	if there {
		emit(notice.Notice{
			Instance: a.Instance, Kind: notice.Preemption, Deadline: action.Time,
			ID: action.Action + " " + action.Time.Format(time.RFC3339),
		})
	}
	return err
}

// rebalance asks for the rebalance recommendation.
func (a *aws) rebalance(ctx context.Context, emit func(notice.Notice)) error {
	var recommended struct {
		NoticeTime string `json:"noticeTime"`
	}
	there, err := a.get(ctx, awsRebalance, &recommended, func() error { return nil })
	if there {
		emit(notice.Notice{Instance: a.Instance, Kind: notice.Rebalance, ID: recommended.NoticeTime})
	}
	return err
}

// get reads a JSON document that may be there or not. A token that the service
// does not know any more is renewed once.
func (a *aws) get(ctx context.Context, path string, into any, check func() error) (there bool, err error) {
	for renewed := false; ; renewed = true {
		if err := a.renew(ctx); err != nil {
			return false, err
		}
		got, err := a.ask(ctx, http.MethodGet, path, map[string]string{"X-aws-ec2-metadata-token": a.token}, timeout)
		switch {
		case err != nil:
			return false, err
		case got.status == http.StatusNotFound:
			return false, nil
		case got.status == http.StatusUnauthorized && !renewed:
			a.token = ""
			continue
		case got.status != http.StatusOK:
			a.token = ""
			return false, a.unexpected(http.MethodGet, path, got)
		}
		if err := json.Unmarshal(got.body, into); err != nil {
			return false, a.unreadable(path, got, err)
		}
		if err := check(); err != nil {
			return false, a.unreadable(path, got, err)
		}
		return true, nil
	}
}

// renew gets a token where there is none, or none for long.
func (a *aws) renew(ctx context.Context) error {
	if a.token != "" && time.Now().Before(a.expires) {
		return nil
	}
	seconds := int(awsTTL / time.Second)
	got, err := a.ask(ctx, http.MethodPut, awsToken, map[string]string{
		"X-aws-ec2-metadata-token-ttl-seconds": strconv.Itoa(seconds),
	}, timeout)
	switch {
	case err != nil:
		return err
	case got.status != http.StatusOK:
		return a.unexpected(http.MethodPut, awsToken, got)
	case len(got.body) == 0:
		return fmt.Errorf("PUT %s: the token is empty", a.base+awsToken)
	}
	a.token, a.expires = string(got.body), time.Now().Add(awsTTL-time.Minute)
	return nil
}
