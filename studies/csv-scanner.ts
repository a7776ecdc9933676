/** Characters a record may have; a longer one is rejected without being held in memory. */
const RECORD_CHARS_MAX = 1 << 20;

export interface CsvSink {
  /** `line` counts physical lines from 1; `raw` is the record's text without its line end. */
  record(fields: string[], line: number, raw: string): void;
  /** A record that cannot be split into fields; `column` is the 1-based field, 0 = the whole record. */
  malformed(line: number, column: number, reason: string): void;
}

/**
 * Splits CSV text (RFC 4180: quotes doubled inside quotes, line breaks allowed inside quotes) that arrives in pieces.
 * Written here because csv-parse, told to skip bad records, reports an over-long line once per further character and lets one
 * stray quote swallow the rest of the file; this one rejects the line where the quote opened and goes on with the next.
 * Memory is bounded by one record and one piece; empty lines are skipped.
 */
export class CsvScanner {
  readonly #delimiter: string;
  readonly #sink: CsvSink;
  #text = "";
  #line = 1;
  #skipping = false;

  constructor(delimiter: string, sink: CsvSink) {
    this.#delimiter = delimiter;
    this.#sink = sink;
  }

  push(piece: string): void {
    this.#text = this.#text === "" ? piece : this.#text + piece;
    this.#scan(false);
  }

  /** The text is complete: whatever is left is the last record. */
  end(): void {
    this.#scan(true);
    this.#text = "";
  }

  #scan(isLast: boolean): void {
    const text = this.#text;
    let at = 0;
    while (at < text.length) {
      const lineEnd = text.indexOf("\n", at);
      if (this.#skipping) {
        if (lineEnd < 0) { at = text.length; break; }
        this.#skipping = false;
        this.#line++;
        at = lineEnd + 1;
        continue;
      }
      if (lineEnd < 0 && !isLast) {
        if (text.length - at <= RECORD_CHARS_MAX) break;
        this.#rejectLine("a line of more than 1,048,576 characters");
        this.#skipping = true;
        at = text.length;
        break;
      }
      const end = lineEnd < 0 ? text.length : lineEnd;
      if (end - at > RECORD_CHARS_MAX) {
        this.#rejectLine("a line of more than 1,048,576 characters");
        this.#line++;
        at = end + 1;
        continue;
      }
      const quote = text.indexOf('"', at);
      if (quote < 0 || quote >= end) {
        const line = text.slice(at, text.charCodeAt(end - 1) === 13 && end > at ? end - 1 : end);
        if (line !== "") this.#sink.record(line.split(this.#delimiter), this.#line, line);
        this.#line++;
        at = end + 1;
        continue;
      }
      const next = this.#quotedRecord(text, at, end, isLast);
      if (next < 0) break;
      at = next;
    }
    this.#text = at >= text.length ? "" : text.slice(at);
  }

  #rejectLine(reason: string, column = 0): void {
    this.#sink.malformed(this.#line, column, reason);
  }

  /** Returns where the next record starts, or -1 when more text is needed. */
  #quotedRecord(text: string, start: number, firstLineEnd: number, isLast: boolean): number {
    const fields: string[] = [];
    let at = start, lines = 1;
    const reject = (reason: string): number => {
      this.#rejectLine(reason, fields.length + 1);
      this.#line++;
      return firstLineEnd + 1;
    };
    for (;;) {
      let field: string;
      if (text.charCodeAt(at) === 34) {
        let from = at + 1;
        field = "";
        for (;;) {
          const close = text.indexOf('"', from);
          if (close < 0 || close - start > RECORD_CHARS_MAX) {
            if (!isLast && text.length - start <= RECORD_CHARS_MAX) return -1;
            return reject("a quote that is opened and never closed");
          }
          field += text.slice(from, close);
          if (close + 1 >= text.length && !isLast) return -1;
          if (text.charCodeAt(close + 1) === 34) { field += '"'; from = close + 2; continue; }
          at = close + 1;
          break;
        }
        for (let i = field.indexOf("\n"); i >= 0; i = field.indexOf("\n", i + 1)) lines++;
      } else {
        let stop = at;
        while (stop < text.length && text[stop] !== this.#delimiter && text.charCodeAt(stop) !== 10) stop++;
        field = text.slice(at, text.charCodeAt(stop - 1) === 13 && stop > at && (stop >= text.length || text.charCodeAt(stop) === 10) ? stop - 1 : stop);
        if (field.includes('"')) return reject("a quote inside a field that does not begin with one");
        at = stop;
      }
      fields.push(field);
      if (text.charCodeAt(at) === 13 && (at + 1 >= text.length || text.charCodeAt(at + 1) === 10)) at++;
      if (at >= text.length || text.charCodeAt(at) === 10) {
        if (at >= text.length && !isLast) return -1;
        const end = text.charCodeAt(at - 1) === 13 ? at - 1 : at;
        this.#sink.record(fields, this.#line, text.slice(start, end));
        this.#line += lines;
        return at + 1;
      }
      if (text[at] !== this.#delimiter) return reject("text after a closing quote");
      at++;
    }
  }
}
