package clickhouse

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/spotserve/spotserve/platform/credential"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/internal/readonly"
)

// Reader reads a database. Its queries run with readonly=1, so the server
// refuses whatever would change something.
type Reader struct {
	target *target
	conn   driver.Conn
	// confined says that the user's own profile is read-only. Such a user may not
	// send settings, not even this one.
	confined bool
}

// OpenReader opens a database for reading. A server that does not answer and a
// database that does not exist are errors.
func OpenReader(ctx context.Context, url string) (*Reader, error) {
	return OpenReaderAs(ctx, credential.Files{}, url)
}

// OpenReaderAs is OpenReader with credentials.
func OpenReaderAs(ctx context.Context, files credential.Files, url string) (*Reader, error) {
	t, err := parse(url, files)
	if err != nil {
		return nil, err
	}
	conn, err := t.connect(t.options.Auth.Database)
	if err != nil {
		return nil, err
	}
	r := &Reader{target: t, conn: conn}
	if r.confined, err = r.isConfined(ctx); err != nil {
		conn.Close()
		return nil, t.explain("open", err)
	}
	return r, nil
}

// Query implements store.Reader.
func (r *Reader) Query(ctx context.Context, text string, args ...any) (store.Rows, error) {
	statement, err := readonly.ClickHouse.Statement(text)
	if err != nil {
		return store.Rows{}, fmt.Errorf("store %s: %w", r.target.name, err)
	}
	rows, err := r.query(ctx, statement, args)
	if err != nil {
		return store.Rows{}, r.target.explain("query", err)
	}
	return rows, nil
}

// isConfined asks whether the user's profile lets it write.
func (r *Reader) isConfined(ctx context.Context) (bool, error) {
	ctx, cancel := withoutDeadline(ctx)
	defer cancel()
	var value string
	err := r.conn.QueryRow(ctx, "SELECT value FROM system.settings WHERE name = 'readonly'").Scan(&value)
	return value != "0", err
}

// withoutDeadline is a context that ends with ctx. The client would send a deadline
// to the server as a setting.
func withoutDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	return out, func() { stop(); cancel(nil) }
}

func (r *Reader) query(ctx context.Context, statement string, args []any) (store.Rows, error) {
	if r.confined {
		var cancel context.CancelFunc
		ctx, cancel = withoutDeadline(ctx)
		defer cancel()
	} else {
		ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"readonly": 1}))
	}
	rows, err := r.conn.Query(ctx, statement, args...)
	if err != nil {
		return store.Rows{}, err
	}
	defer rows.Close()
	out := store.Rows{Columns: rows.Columns()}
	types := rows.ColumnTypes()
	for rows.Next() {
		into := make([]any, len(types))
		for i, t := range types {
			into[i] = reflect.New(t.ScanType()).Interface()
		}
		if err := rows.Scan(into...); err != nil {
			return store.Rows{}, err
		}
		values := make([]any, len(into))
		for i := range into {
			values[i] = plain(reflect.ValueOf(into[i]))
		}
		out.Values = append(out.Values, values)
	}
	return out, rows.Err()
}

// plain turns a scanned value into one of the types that Rows may hold. What is
// none of them, an array for example, becomes its text.
func plain(v reflect.Value) any {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case time.Time:
		return x.Format("2006-01-02 15:04:05.999999999")
	case fmt.Stringer:
		return x.String()
	}
	switch {
	case v.Kind() == reflect.Bool:
		return v.Bool()
	case v.CanInt():
		return v.Int()
	case v.CanUint() && v.Uint() <= math.MaxInt64:
		return int64(v.Uint())
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10)
	case v.CanFloat():
		return v.Float()
	case v.Kind() == reflect.String:
		return v.String()
	}
	return fmt.Sprint(v.Interface())
}

// Close implements store.Reader.
func (r *Reader) Close() error { return r.conn.Close() }
