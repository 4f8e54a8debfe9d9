def dissection_section(material):
    return None
