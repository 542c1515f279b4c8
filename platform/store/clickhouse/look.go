package clickhouse

import "context"

// Schema returns the version of the database's tables and the one that this build
// knows. It is for people who look; a writer brings the tables up to date.
func (r *Reader) Schema(ctx context.Context) (have, known int, err error) {
	entries, err := schema.ReadDir("schema")
	if err != nil {
		return 0, 0, err
	}
	var version int64
	if err := r.conn.QueryRow(ctx, "SELECT max(version) FROM schema_version").Scan(&version); err != nil {
		return 0, 0, r.target.explain("ask for the schema of", err)
	}
	return int(version), len(entries), nil
}

// Rights says what the server lets this user do.
func (r *Reader) Rights(ctx context.Context) (string, error) {
	var value string
	if err := r.conn.QueryRow(ctx, "SELECT value FROM system.settings WHERE name = 'readonly'").Scan(&value); err != nil {
		return "", r.target.explain("ask for the rights of this user in", err)
	}
	if value == "0" {
		return "reads and writes", nil
	}
	return "reads", nil
}
