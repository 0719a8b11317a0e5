-- Members are found by interaction and judge: what is parked of them is never parked again.
ALTER TABLE member ADD COLUMN key BLOB NOT NULL DEFAULT x'';
-- A row's first byte is its form, and its key follows.
UPDATE member SET key = substr(row, 2, 16);
CREATE INDEX member_key ON member (key, judge);
