package mockmetadata

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/spotserve/spotserve/core/vtime"
)

// The paths of EC2's instance metadata service, version 2.
const (
	awsToken     = "/latest/api/token"
	awsAction    = "/latest/meta-data/spot/instance-action"
	awsRebalance = "/latest/meta-data/events/recommendations/rebalance"
)

// longestToken is the longest life of a token, in seconds.
const longestToken = 21600

// token opens the metadata of one instance until it expires.
type token struct {
	node    string
	expires time.Time
}

// issueToken answers PUT /latest/api/token as IMDSv2 does: 400 without a time to
// live in its limits, 403 through a proxy.
func (s *Server) issueToken(node string, w http.ResponseWriter, r *http.Request) {
	const ttl = "X-aws-ec2-metadata-token-ttl-seconds"
	seconds, err := strconv.Atoi(r.Header.Get(ttl))
	switch {
	case r.Header.Get("X-Forwarded-For") != "":
		http.Error(w, "a token is not given to a proxy", http.StatusForbidden)
		return
	case err != nil || seconds < 1 || seconds > longestToken:
		http.Error(w, ttl+" wants 1 to "+strconv.Itoa(longestToken), http.StatusBadRequest)
		return
	}
	text := rand.Text()
	s.mu.Lock()
	for old, t := range s.token {
		if time.Now().After(t.expires) {
			delete(s.token, old)
		}
	}
	s.token[text] = token{node, time.Now().Add(time.Duration(seconds) * time.Second)}
	s.mu.Unlock()
	w.Header().Set(ttl, strconv.Itoa(seconds))
	_, _ = w.Write([]byte(text))
}

// withToken answers 401 without a token that this instance has been given.
func (s *Server) withToken(serve func(view, http.ResponseWriter)) func(string, http.ResponseWriter, *http.Request) {
	return func(node string, w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		t := s.token[r.Header.Get("X-aws-ec2-metadata-token")]
		s.mu.Unlock()
		if t.node != node || time.Now().After(t.expires) {
			http.Error(w, "401 - Unauthorized", http.StatusUnauthorized)
			return
		}
		serve(s.now(node), w)
	}
}

// action is the interruption notice: 404 while there is none.
func (s *Server) action(v view, w http.ResponseWriter) {
	if v.goes == vtime.Never {
		http.Error(w, "404 - Not Found", http.StatusNotFound)
		return
	}
	reply(w, map[string]string{"action": "terminate", "time": s.Clock.Wall(v.goes).UTC().Format(time.RFC3339)})
}

// rebalance is the rebalance recommendation: 404 while there is none.
func (s *Server) rebalance(v view, w http.ResponseWriter) {
	if !v.atRisk {
		http.Error(w, "404 - Not Found", http.StatusNotFound)
		return
	}
	reply(w, map[string]string{"noticeTime": s.Clock.Wall(v.risk).UTC().Format(time.RFC3339)})
}

// reply sends a document.
func reply(w http.ResponseWriter, document any) {
	text, err := json.Marshal(document)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text)
}
