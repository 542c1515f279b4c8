package natsbus

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// parseAnswer reads the server's answer to a publication. halt says that nobody
// can store messages at the moment.
func parseAnswer(m *nats.Msg) (seq uint64, halt bool, err error) {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return 0, true, nil
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
		*jetstream.PubAck
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return 0, false, fmt.Errorf("the server's answer %.100q: %w", m.Data, err)
	}
	switch {
	case answer.Error != nil && isBusy(answer.Error):
		return 0, true, nil
	case answer.Error != nil:
		return 0, false, answer.Error
	case answer.PubAck == nil:
		return 0, false, errors.New("the server's answer has no sequence")
	}
	return answer.Sequence, false, nil
}
