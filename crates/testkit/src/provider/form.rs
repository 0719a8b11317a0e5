//! Reads a form with a file in it (`multipart/form-data`, RFC 7578), as strictly as servers do.

/// One field.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) filename: Option<String>,
    pub(super) content: Vec<u8>,
}

/// The fields of `body`, or what is wrong with it.
pub(super) fn fields(content_type: &str, body: &[u8]) -> Result<Vec<Field>, String> {
    let boundary = content_type
        .strip_prefix("multipart/form-data;")
        .and_then(|rest| rest.trim().strip_prefix("boundary="))
        .ok_or("no multipart/form-data with a boundary")?;
    let open = format!("--{boundary}\r\n");
    let mut rest = body.strip_prefix(open.as_bytes()).ok_or("the body does not begin with the boundary")?;
    let mut fields = Vec::new();
    let delimiter = format!("\r\n--{boundary}");
    loop {
        let end = find(rest, delimiter.as_bytes()).ok_or("a part without end")?;
        let part = &rest[..end];
        let head_end = find(part, b"\r\n\r\n").ok_or("a part without a head")?;
        let head = std::str::from_utf8(&part[..head_end]).map_err(|_| "a head that is no text")?;
        let disposition = head
            .split("\r\n")
            .find_map(|line| line.strip_prefix("Content-Disposition: form-data; "))
            .ok_or("a part without Content-Disposition")?;
        let parameter = |name: &str| {
            let value = disposition.split("; ").find_map(|part| part.strip_prefix(name)?.strip_prefix("=\""))?;
            value.strip_suffix('"').map(str::to_owned)
        };
        fields.push(Field {
            name: parameter("name").ok_or("a part without a name")?,
            filename: parameter("filename"),
            content: part[head_end + 4..].to_vec(),
        });
        rest = &rest[end + delimiter.len()..];
        match rest.strip_prefix(b"\r\n") {
            Some(next) => rest = next,
            None if rest == b"--\r\n" || rest == b"--" => return Ok(fields),
            None => return Err("a boundary that is followed by neither a part nor the end".to_owned()),
        }
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=xyz";

    #[test]
    fn a_form_and_what_is_none() {
        let body = b"--xyz\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--xyz\r\nContent-Disposition: \
            form-data; name=\"file\"; filename=\"a.jsonl\"\r\nContent-Type: application/jsonl\r\n\r\n{}\n--xy\n\r\n--xyz--\r\n";
        let field = |name: &str, filename: Option<&str>, content: &[u8]| Field {
            name: name.into(),
            filename: filename.map(str::to_owned),
            content: content.to_vec(),
        };
        let wanted = vec![field("purpose", None, b"batch"), field("file", Some("a.jsonl"), b"{}\n--xy\n")];
        assert_eq!(fields(TYPE, body), Ok(wanted));
        assert!(fields("application/json", body).is_err());
        assert!(fields(TYPE, &body[..body.len() - 10]).is_err());
        assert!(fields(TYPE, &body[1..]).is_err());
    }
}
