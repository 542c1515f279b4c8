// Package jsapi names the subjects by which a client of NATS JetStream asks its
// server for something: those that our bus uses, and so those that a user of it
// needs. Any argument may be "*"; the last one of a name with filters, ">".
package jsapi

const prefix = "$JS.API."

// Info is what a client asks whether JetStream is on.
const Info = prefix + "INFO"

// UserInfo is what a client asks who it is to the server, and what it may do.
const UserInfo = "$SYS.REQ.USER.INFO"

// Lists of streams, for people.
const (
	StreamList  = prefix + "STREAM.LIST"
	StreamNames = prefix + "STREAM.NAMES"
)

// StreamInfo asks for the settings and the state of a stream.
func StreamInfo(stream string) string { return prefix + "STREAM.INFO." + stream }

// StreamCreate makes a stream.
func StreamCreate(stream string) string { return prefix + "STREAM.CREATE." + stream }

// StreamUpdate changes the settings of a stream.
func StreamUpdate(stream string) string { return prefix + "STREAM.UPDATE." + stream }

// StreamPurge removes messages of a stream, those of a filter or all.
func StreamPurge(stream string) string { return prefix + "STREAM.PURGE." + stream }

// StreamDelete removes a stream.
func StreamDelete(stream string) string { return prefix + "STREAM.DELETE." + stream }

// StreamSnapshot takes a copy of a stream as it is, to keep elsewhere.
func StreamSnapshot(stream string) string { return prefix + "STREAM.SNAPSHOT." + stream }

// SnapshotAcks are the subjects on which a client says what it has of a copy.
func SnapshotAcks(stream string) string { return "$JS.SNAPSHOT.ACK." + stream + ".>" }

// MessageDelete removes a message of a stream.
func MessageDelete(stream string) string { return prefix + "STREAM.MSG.DELETE." + stream }

// MessageGet asks the leader of a stream for a message, the newest of a filter
// for example, which is in the request.
func MessageGet(stream string) string { return prefix + "STREAM.MSG.GET." + stream }

// DirectGet asks any server that keeps a stream for the newest message of a
// subject.
func DirectGet(stream, subject string) string { return prefix + "DIRECT.GET." + stream + "." + subject }

// ConsumerCreate makes a consumer or changes it. With several filters they are in
// the request; a single one is the end of the subject (ConsumerCreateFor).
func ConsumerCreate(stream, consumer string) string {
	return prefix + "CONSUMER.CREATE." + stream + "." + consumer
}

// ConsumerCreateFor makes a consumer of one filter, or changes it.
func ConsumerCreateFor(stream, consumer, filter string) string {
	return ConsumerCreate(stream, consumer) + "." + filter
}

// ConsumerDelete removes a consumer.
func ConsumerDelete(stream, consumer string) string {
	return prefix + "CONSUMER.DELETE." + stream + "." + consumer
}

// ConsumerInfo asks for the settings and the state of a consumer.
func ConsumerInfo(stream, consumer string) string {
	return prefix + "CONSUMER.INFO." + stream + "." + consumer
}

// ConsumerNext asks a consumer for messages.
func ConsumerNext(stream, consumer string) string {
	return prefix + "CONSUMER.MSG.NEXT." + stream + "." + consumer
}

// ConsumerList and ConsumerNames list the consumers of a stream, for people.
func ConsumerList(stream string) string { return prefix + "CONSUMER.LIST." + stream }

// ConsumerNames is ConsumerList of the names alone.
func ConsumerNames(stream string) string { return prefix + "CONSUMER.NAMES." + stream }

// Acks match the acknowledgements of what a consumer delivered.
func Acks(stream, consumer string) string { return "$JS.ACK." + stream + "." + consumer + ".>" }

// KeyStream is the stream of a key-value bucket.
func KeyStream(bucket string) string { return "KV_" + bucket }

// Key is the subject of a key of a bucket.
func Key(bucket, key string) string { return "$KV." + bucket + "." + key }

// Inbox is below what the user of a public nkey gets answers to questions: nobody
// else may listen there.
func Inbox(key string) string { return "_INBOX." + key }
